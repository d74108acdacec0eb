import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { FLAGS } from '../src/cli/flags.ts'
import { TENANT_KEYS } from '../src/group/resolve-tenant.ts'
import { OPTION_NAMES } from '../src/option-table.ts'
import { PROCESS_GROUP_OPTION_NAMES } from '../src/process-group-options.ts'

const PAGE = readFileSync('docs/mod_wsgi.md', 'utf8')

/** What mod_wsgi has, by the heading of the page under which it stands; taken from its source. */
const { source, ...LISTS } = JSON.parse(readFileSync('test/fixtures/mod_wsgi-directives.json', 'utf8')) as
  { source: string } & Record<string, string[] | string>

function rowsUnder(heading: string): string[][] {
  const section = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0]
  assert.ok(section !== undefined, `the page has a section "${heading}"`)
  return section.split('\n').filter((line) => line.startsWith('|')).slice(2)
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}

for (const [heading, names] of Object.entries(LISTS)) {
  test(`docs/mod_wsgi.md has a row for each of mod_wsgi's ${heading.toLowerCase()}, and a counterpart or a reason`, () => {
    const rows = rowsUnder(heading)
    assert.deepEqual(rows.map(([name]) => name?.replaceAll('`', '')), names)
    assert.ok(names.length > 3)
    for (const cells of rows) {
      assert.equal(cells.length, 3, cells.join(' | '))
      assert.ok(cells.every((cell) => cell !== ''), cells.join(' | '))
    }
  })
}

test('what docs/mod_wsgi.md names as a counterpart exists', () => {
  const known = new Set<string>([
    ...OPTION_NAMES,
    ...TENANT_KEYS,
    ...FLAGS.map(({ long }) => long),
    ...PROCESS_GROUP_OPTION_NAMES.map((name) => `processGroups.${name}`),
    'tenantry check',
    'tenantry/tenant',
  ])
  const named = [...Object.keys(LISTS), 'The Python module'].flatMap((heading) =>
    rowsUnder(heading).flatMap(([, here = '']) => (here === 'none' ? [] : [...here.matchAll(/`([^`]*)`/g)].map(([, name]) => name))))
  assert.ok(named.length > 100)
  assert.deepEqual([...new Set(named)].filter((name) => !known.has(name as string)), [])
})

test('a reason that refers to another row refers to one that is there', () => {
  const rows = new Set([...PAGE.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name))
  const lost = [...PAGE.matchAll(/\bAs for ([\w-]+)/g)].map(([, name]) => name).filter((name) => !rows.has(name as string))
  assert.deepEqual(lost, [])
})

test('the list says where it was taken from', () => {
  assert.match(source, /mod_wsgi/)
})
