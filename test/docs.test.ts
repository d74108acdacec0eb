import { test } from 'node:test'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ERROR_STATUS } from '../src/errors.ts'
import { EVENT_NAMES } from '../src/events.ts'
import { OPTION_NAMES, OPTIONS } from '../src/option-table.ts'
import { readBlocks, runBlocks } from './doc-blocks.ts'

const PAGES = ['README.md', 'CHANGELOG.md', ...readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

/** The rows of the Markdown table below a heading, without its two head lines; cells are trimmed. */
function rows(page: string, heading: string): string[][] {
  const text = readFileSync(page, 'utf8')
  const start = text.indexOf(`\n## ${heading}\n`)
  assert.notEqual(start, -1, `${page} has a section "${heading}"`)
  const section = text.slice(start + 4).split(/\n## /)[0] ?? ''
  return section.split('\n').filter((line) => line.startsWith('|')).slice(2)
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}

const unquote = (cell: string | undefined): string => (cell ?? '').replace(/^`(.*)`$/, '$1')

test('docs/errors.md lists exactly the codes of the code, in its order, each with its status', () => {
  const documented = rows('docs/errors.md', 'Codes').map(([code, status]) => [unquote(code), status])
  const defined = Object.entries(ERROR_STATUS).map(([code, status]) => [code, status === null ? '-' : String(status)])
  assert.deepEqual(documented, defined)
})

test('every code says when it is met and what helps', () => {
  for (const cells of rows('docs/errors.md', 'Codes')) {
    assert.equal(cells.length, 4, cells.join(' | '))
    for (const cell of cells) assert.notEqual(cell, '', cells.join(' | '))
  }
})

test('docs/events.md lists exactly the channels of the code', () => {
  const documented = rows('docs/events.md', 'Channels').map(([name]) => unquote(name))
  assert.deepEqual(documented, [...EVENT_NAMES])
})

test('docs/events.md lists exactly the fields of each payload', () => {
  const source = readFileSync('src/events.ts', 'utf8')
  const payloads = new Map([...source.matchAll(/^ {2}'(tenantry:[\w:]+)': \{([^}]*)\}/gm)].map(([, name, body]) =>
    [name, [...(body ?? '').matchAll(/(\w+\??):/g)].map(([, field]) => field)]))
  assert.deepEqual([...payloads.keys()], [...EVENT_NAMES], 'this test reads the payloads of every channel')
  for (const [name, , fields] of rows('docs/events.md', 'Channels')) {
    assert.deepEqual((fields ?? '').split(', ').map(unquote), payloads.get(unquote(name)), name)
  }
})

test('docs/events.md explains exactly the reasons of the code', () => {
  const source = readFileSync('src/events.ts', 'utf8')
  const union = /export type EndReason =([\s\S]*?)\n\n/.exec(source)?.[1] ?? ''
  const reasons = [...union.matchAll(/'(\w+)'/g)].map(([, reason]) => reason)
  assert.ok(reasons.length > 5, 'this test reads the union of reasons')
  assert.deepEqual(rows('docs/events.md', 'Reasons').map(([reason]) => unquote(reason)), reasons)
})

test("the README's options have the meaning and the default of the code", () => {
  const shown = rows('README.md', 'Options')
  assert.ok(shown.length > 5)
  for (const [name, standard, doc] of shown) {
    const option = OPTION_NAMES.find((known) => known === unquote(name))
    assert.ok(option !== undefined, `${name} is an option`)
    assert.deepEqual([standard, doc], [OPTIONS[option].standard, OPTIONS[option].doc], name)
  }
})

test("the README's table of errors has every code under its status", () => {
  const shown = rows('README.md', 'Errors').flatMap(([status, codes]) => (codes ?? '').split(', ').map((code) =>
    [unquote(code), status === 'none' ? null : Number(status)]))
  const byCode = (a: unknown[], b: unknown[]): number => String(a[0]).localeCompare(String(b[0]))
  assert.deepEqual(shown.sort(byCode), Object.entries(ERROR_STATUS).sort(byCode))
})

test('every link from page to page leads somewhere', () => {
  const lost: string[] = []
  for (const page of PAGES.filter((name) => existsSync(name))) {
    for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
      if (target === undefined || /^[a-z]+:/.test(target)) continue
      if (!existsSync(join(dirname(page), target))) lost.push(`${page}: ${target}`)
    }
  }
  assert.deepEqual(lost, [])
})

test('pages speak of no error code and no channel that does not exist', () => {
  const unknown: string[] = []
  for (const page of PAGES.filter((name) => existsSync(name))) {
    const text = readFileSync(page, 'utf8')
    for (const [code] of text.matchAll(/(?<![\w-])ERR_[A-Z]+(?:_[A-Z]+)*/g)) {
      // Node's own codes may be named as well; they are not ours to list.
      if (!(code in ERROR_STATUS) && !/^ERR_(WORKER|MODULE|HTTP|INVALID|REQUIRE|SOCKET)_/.test(code)) unknown.push(`${page}: ${code}`)
    }
    for (const [name] of text.matchAll(/tenantry:(?:group|context|admission|request|evict|warning)(?::\w+)?/g)) {
      if (!EVENT_NAMES.some((known) => known === name)) unknown.push(`${page}: ${name}`)
    }
  }
  assert.deepEqual(unknown, [])
})

test('a page shows no benchmark that differs from its saved result', async () => {
  const report = await import(pathToFileURL('benchmarks/report.mjs').href) as { fillPage: (text: string) => string }
  for (const page of PAGES.filter((name) => existsSync(name))) {
    const text = readFileSync(page, 'utf8')
    assert.equal(text, report.fillPage(text), `${page} is behind benchmarks/results: npm run bench -- --pages`)
  }
})

test('the README has blocks that run', () => {
  assert.ok(readBlocks('README.md').some(({ run }) => run))
})

for (const page of PAGES.filter((name) => existsSync(name) && readBlocks(name).some(({ run }) => run))) {
  test(`what ${page} shows is what happens`, async (t) => {
    for (const { line, printed, promised } of await runBlocks(t, page)) {
      assert.equal(printed, promised, `${page}:${line}`)
    }
  })
}
