import { test } from 'node:test'
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ERROR_STATUS } from '../src/errors.ts'
import { EVENT_NAMES } from '../src/events.ts'
import { TENANT_KEYS } from '../src/group/resolve-tenant.ts'
import { OPTION_NAMES, OPTIONS } from '../src/option-table.ts'
import { Control } from '../src/wire/control.ts'
import { Kind } from '../src/wire/frames.ts'
import { readBlocks, runBlocks } from './doc-blocks.ts'
import { readTree } from './source-tree.ts'

const PAGES = ['README.md', 'CHANGELOG.md', ...readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]

/** The rows of the Markdown table below a heading, without its two head lines; cells are trimmed. */
function rows(page: string, heading: string): string[][] {
  const text = readFileSync(page, 'utf8')
  const found = new RegExp(`\\n##+ ${heading}\\n`).exec(text)
  assert.ok(found !== null, `${page} has a section "${heading}"`)
  const section = text.slice(found.index + found[0].length).split(/\n##+ /)[0] ?? ''
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

test('docs/architecture.md has a sentence for every file of src, and for no other', () => {
  const documented = rows('docs/architecture.md', 'Files')
  assert.deepEqual(documented.map(([path]) => unquote(path)).sort(), readTree('src').map(({ path }) => path).sort())
  for (const [path, sentence] of documented) assert.match(sentence ?? '', /^[A-Z`].*\.$/, path)
})

test('docs/architecture.md lists exactly the frames of the wire, with their direction and fields', () => {
  const source = /export const Kind = \{([\s\S]*?)\n\}/.exec(readFileSync('src/wire/frames.ts', 'utf8'))?.[1] ?? ''
  const frames = [...source.matchAll(/\/\*\* ([^:]+): \[(\w+)(?:, ([^\]]*))?\]/g)].map(([, direction, kind, fields]) =>
    [kind, direction, fields?.replace(' | undefined', ' or nothing') ?? 'none'])
  assert.deepEqual(frames.map(([kind]) => kind), Object.keys(Kind), 'this test reads the comment of every kind')
  const documented = rows('docs/architecture.md', 'Messages')
  assert.deepEqual(documented.map(([kind, direction, fields]) => [unquote(kind), direction, fields]), frames)
})

test('docs/architecture.md lists exactly the words of front and daemon, with their direction and fields', () => {
  const source = /export const Control = \{([\s\S]*?)\n\}/.exec(readFileSync('src/wire/control.ts', 'utf8'))?.[1] ?? ''
  const words = [...source.matchAll(/\/\*\* ([^:]+): \[(\w+)(?:, ([^\]]*))?\]/g)].map(([, direction, word, fields]) =>
    [word, direction, fields?.replace(' | undefined', ' or nothing') ?? 'none'])
  assert.deepEqual(words.map(([word]) => word), Object.keys(Control), 'this test reads the comment of every word')
  const documented = rows('docs/architecture.md', 'Control')
  assert.deepEqual(documented.map(([word, direction, fields]) => [unquote(word), direction, fields]), words)
})

const STATES = [
  ['Context', 'context/live-context.ts'], ['Spare', 'context/spare.ts'], ['Group', 'group/group-state.ts'], ['Daemon', 'context/daemon.ts'], ['Runtime', 'runtime.ts'],
] as const
for (const [thing, file] of STATES) {
  test(`docs/architecture.md shows the states of a ${thing.toLowerCase()} as ${file} has them`, () => {
    const table = /const TRANSITIONS[^=]*= \{([\s\S]*?)\n\}/.exec(readFileSync(`src/${file}`, 'utf8'))?.[1] ?? ''
    const defined = [...table.matchAll(/(\w+): \[([^\]]*)\]/g)].map(([, state, next]) => [state, next?.replaceAll("'", '')])
    const documented = rows('docs/architecture.md', thing).map(([state, next]) => [unquote(state), next?.replaceAll('`', '')])
    assert.ok(defined.length > 3)
    const byName = (a: unknown[], b: unknown[]): number => String(a[0]).localeCompare(String(b[0]))
    assert.deepEqual(documented.sort(byName), defined.sort(byName))
  })
}

test('every function that docs/architecture.md names stands in the file that it names', () => {
  const text = readFileSync('docs/architecture.md', 'utf8')
  const named = [...text.matchAll(/`(#?\w+)`\s+in\s+`([\w/-]+\.ts)`/g)]
  assert.ok(named.length > 20)
  const lost = named.filter(([, name = '', file = '']) => {
    const source = existsSync(`src/${file}`) ? readFileSync(`src/${file}`, 'utf8') : ''
    return !new RegExp(`(^|[^\\w#.])${name}\\b`, 'm').test(source)
  })
  assert.deepEqual(lost.map(([sentence]) => sentence), [])
})

test('docs/tenants.md lists exactly the settings of a tenant and the limits that it may set', () => {
  assert.deepEqual(rows('docs/tenants.md', 'Settings').map(([key]) => unquote(key)), [...TENANT_KEYS])
  const source = /interface TenantLimits \{([\s\S]*?)\n\}/.exec(readFileSync('src/group/tenant.ts', 'utf8'))?.[1] ?? ''
  const limits = [...source.matchAll(/readonly (\w+)\?:/g)].map(([, name]) => name)
  assert.ok(limits.length > 5, 'this test reads the names of the limits')
  assert.deepEqual(new Set(rows('docs/tenants.md', 'Limits').map(([name]) => unquote(name))), new Set(limits))
})

test('docs/tenants.md lists exactly the values of labelPort', () => {
  const documented = rows('docs/tenants.md', 'Names of groups').map(([value]) => unquote(value?.replace(' (default)', '')))
  assert.equal(documented.join(', ').replace(/, (\w+)$/, ' or $1'), OPTIONS.labelPort.accepts)
})

test('docs/security.md lists exactly what the hardened profile takes away', () => {
  const source = readFileSync('src/tenant/harden.ts', 'utf8')
  const list = (name: string): string[] =>
    [...(new RegExp(`const ${name} = \\[([^\\]]*)\\]`).exec(source)?.[1] ?? '').matchAll(/'(\w+)'/g)].map(([, word = '']) => word)
  const taken = [
    ...list('PROCESS_ESCAPES').map((name) => `process.${name}`),
    ...[...source.matchAll(/delete own\['(\w+)'\]/g)].map(([, name]) => `process.${name}`),
    ...[...source.matchAll(/own\['(\w+)'\] =/g)].map(([, name]) => `process.${name}`),
    ...list('V8_ESCAPES').map((name) => `v8.${name}`),
    ...[...source.matchAll(/threads\['(\w+)'\] =/g)].map(([, name]) => `worker_threads.${name}`),
    ...[...source.matchAll(/delete \((\w+)\.Session\.prototype [^)]*\)\.(\w+)/g)].map(([, module, name]) => `${module}.Session.${name}`),
  ]
  assert.ok(taken.length > 15, 'this test reads what is taken away')
  assert.deepEqual(rows('docs/security.md', 'Hardened profile').map(([name]) => unquote(name)), taken)
})

test('examples/README.md lists exactly the examples', () => {
  const text = readFileSync('examples/README.md', 'utf8')
  const documented = [...text.matchAll(/^\| \[([\w-]+)\]/gm)].map(([, name]) => name)
  const folders = readdirSync('examples', { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  assert.deepEqual(new Set(documented), new Set(folders.filter((name) => name !== 'shared')))
})

test('every page that a comment in the code refers to is there', () => {
  const lost = readTree('src').flatMap(({ path, text }) => [...text.matchAll(/\bdocs\/[\w-]+\.md/g)]
    .filter(([page]) => !existsSync(page)).map(([page]) => `${path}: ${page}`))
  assert.deepEqual(lost, [])
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
  for (const page of [...PAGES, 'benchmarks/README.md'].filter((name) => existsSync(name))) {
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
