import { test, type TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listContenders } from '../../src/bench/contenders.ts'
import { BENCH_FLAGS } from '../../src/cli/bench-flags.ts'
import { run } from '../../src/cli/program.ts'
import type { Summary } from '../../src/bench/summary.ts'
import { describeTenants } from '../../src/runtime.ts'
import { fakeWorld, makeFolder, type FakeWorld } from './fake-world.ts'

/** Rounds that say nothing about speed: these tests look at shape and honesty. */
const SHORT = ['--rounds', '2', '--duration', '150ms', '--connections', '2']

interface Benched { readonly code: number; readonly world: FakeWorld; readonly folder: string; readonly error: string }

async function bench(t: TestContext, files: Record<string, string>, args: readonly string[], before?: (world: FakeWorld) => void): Promise<Benched> {
  const folder = makeFolder(t, files)
  // Its contenders are the real command.
  const world: FakeWorld = { ...fakeWorld(folder), describe: describeTenants }
  before?.(world)
  const { code } = await run(['bench', ...args], world)
  return { code, world, folder, error: world.err.join('') }
}

const HELLO = "export default (request, response) => response.end(`${process.env.NAME} ${request.method} ${request.url}`)"

test('every row has every figure, a ratio to bare in the same round, and answers that are the same', async (t) => {
  const files = { 'app/server.mjs': HELLO, 'app/tenant.json': '{"env":{"NAME":"it"}}' }
  const { code, world, folder, error } = await bench(t, files, ['app', ...SHORT, '--path', '/a', '--path', '/bb?c=1', '--json', 'out.json', '--html', 'out.html'])
  assert.equal(code, 0, error)
  const result = JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8')) as Summary
  assert.deepEqual(result.requests, [
    { method: 'GET', path: '/a', status: 200, bytes: 'it GET /a'.length },
    { method: 'GET', path: '/bb?c=1', status: 200, bytes: 'it GET /bb?c=1'.length },
  ])
  assert.equal(result.entry, join(folder, 'app', 'server.mjs'))
  assert.equal(result.rows[0]?.name, 'bare')
  const names = result.rows.map(({ name }) => name)
  const all = listContenders().map(({ name }) => name)
  const handsOver = !result.notes.some((note) => note.includes('there are no hand-off rows'))
  assert.deepEqual(names, handsOver ? all : all.filter((name) => !name.startsWith('hand-off')))
  assert.ok(!result.notes.some((note) => note.includes('stayed in the front')), result.notes.join('\n'))
  for (const { name, rounds, figures, ratios } of result.rows) {
    assert.equal(rounds.length, 2, name)
    for (const [figure, found] of Object.entries(figures)) {
      if (found === null) {
        assert.notEqual(process.platform, 'linux', `${figure} of ${name}`)
        continue
      }
      assert.ok(found.min <= found.median && found.median <= found.max && found.min > 0 || figure === 'cpu', `${figure} of ${name}`)
    }
    if (name === 'bare') assert.deepEqual(ratios.requestsPerSecond, { median: 1, min: 1, max: 1 })
  }
  const [bare, relay] = result.rows.map(({ rounds }) => rounds.map(({ requestsPerSecond }) => requestsPerSecond))
  assert.equal(result.rows[1]?.ratios.requestsPerSecond?.min, Math.min(...(relay ?? []).map((value, at) => value / (bare?.[at] ?? 0))))
  assert.match(readFileSync(join(folder, 'out.html'), 'utf8'), /^<!doctype html>[^]*app\/server\.mjs[^]*<\/html>\n$/)
  const table = world.out.join('')
  for (const { name } of result.rows) assert.ok(table.includes(`\n${name} `), name)
  for (const note of result.notes) assert.ok(table.includes(`* ${note}`), note)
  assert.ok(result.notes.some((note) => /share \d+ processor/.test(note)))
  assert.ok(result.notes.some((note) => note.includes('three rounds')))
  assert.match(world.err.join(''), /^\[1\/\d+\] answers of bare; about \w+ left\n\[2\//)
})

test('a program that listens, a body and a header cross to every row; --json alone prints nothing else', async (t) => {
  const app = `
    const http = require('node:http')
    http.createServer((request, response) => {
      let bytes = 0
      request.on('data', (chunk) => { bytes += chunk.length })
      request.on('end', () => response.end(request.method + request.headers['x-beta'] + bytes))
    }).listen(3000)`
  const args = ['app.cjs', ...SHORT, '--rounds', '1', '--body', '@body', '--header', 'X-Beta: yes', '--json', '--quiet']
  const { code, world, error } = await bench(t, { 'app.cjs': app, body: 'x'.repeat(70_000) }, args)
  assert.deepEqual([code, error], [0, ''])
  const result = JSON.parse(world.out.join('')) as Summary
  assert.deepEqual(result.requests, [{ method: 'POST', path: '/', status: 200, bytes: 'POSTyes70000'.length }])
})

test('answers that differ from those of node:http are refused before anything is measured', async (t) => {
  const pid = 'export default (request, response) => response.end(String(process.hrtime.bigint()))'
  const { code, error, world } = await bench(t, { 'app.mjs': pid }, ['app.mjs', ...SHORT, '--quiet'])
  assert.equal(code, 1)
  assert.match(error, /^tenantry: GET \/: (hand-off|relay), thread answers with .* node:http.*; for a page that changes with each request: --no-compare\n$/)
  assert.deepEqual(world.out, [])
})

const FAILURES: readonly (readonly [string, string, RegExp])[] = [
  ['throws while it loads', 'throw new TypeError("no database")', /^tenantry: bare ended with 1: TypeError: no database\n$/],
  ['exports nothing and ends', 'export const nothing = 0', /^tenantry: bare ended with \d+: it exports nothing that can serve, and has not called listen\(\)\n$/],
  ['answers with 500', 'export default (q, r) => { r.statusCode = 500; r.end("broken") }', /^tenantry: GET \/ is answered with 500 by node:http itself: "broken"\n$/],
  [
    'ends under load',
    'let left = 20; export default (q, r) => { if (left-- === 0) throw new Error("had enough"); r.end() }',
    /^tenantry: bare ended with \d+: Error: had enough\n$/,
  ],
  [
    'fails under load',
    'let left = 20; export default (q, r) => { if (left-- < 0) r.statusCode = 503; r.end() }',
    /^tenantry: \d+ of \d+ requests to bare failed under load: answered with 503 instead of 200\n$/,
  ],
]
for (const [what, text, message] of FAILURES) {
  test(`an application that ${what} is one line, and exit code 1`, async (t) => {
    const { code, error } = await bench(t, { 'app.mjs': text }, ['app.mjs', ...SHORT, '--quiet', '--no-compare'])
    assert.equal(code, 1)
    assert.match(error, message)
  })
}

test('what is wrong on the command line or in tenant.json is one line, and exit code 2', async (t) => {
  const files = { 'app.mjs': HELLO, 'none/read.me': '', 'bad/server.mjs': HELLO, 'bad/tenant.json': '{"kinds":"node"}', 'two/tenant.json': '{"mounts":{"/":"a"}}' }
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['gone.mjs'], /'gone\.mjs' does not exist/],
    [['none'], /'none' is no module and no tenant's folder: no entry: /],
    [['bad'], /'kinds'.*did you mean kind/],
    [['two'], /mounts/],
    [['app.mjs', '--connections', '0'], /--connections is '0'; write a whole number from 1 to 10000/],
    [['app.mjs', '--duration', '1ms'], /--duration is '1ms'/],
    [['app.mjs', '--path', 'x'], /--path is 'x'/],
    [['app.mjs', '--header', 'Host: x'], /--header is 'Host: x'.*--host/],
    [['app.mjs', '--body', '@gone'], /--body is '@gone'/],
    [['app.mjs', '--json', 'no/such/folder/x.json'], /--json is/],
    [['app.mjs', '--round', '3'], /did you mean --rounds/],
  ]
  for (const [args, message] of wrong) {
    const { code, error } = await bench(t, files, args)
    assert.equal(code, 2, error)
    assert.match(error, message)
    assert.match(error, /^tenantry: [^\n]*\n$/)
  }
})

test('a signal ends every process that it started, says so, and is the exit code', async (t) => {
  const app = "import { writeFileSync } from 'node:fs'\nwriteFileSync('pid', String(process.pid))\nexport default (q, r) => r.end()"
  const { code, error, folder } = await bench(t, { 'app.mjs': app }, ['app.mjs', '--duration', '1h'], (world) => {
    world.stderr.write = (text) => {
      world.err.push(text)
      // Under load: the server and the generator run.
      if (text.includes('round 1')) setTimeout(() => world.signals.emit('SIGINT'), 500)
    }
  })
  assert.equal(code, 130)
  assert.match(error, /\ntenantry: SIGINT: stopped, and every process that it started has ended\n$/)
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

test('docs/bench.md lists exactly the flags and the rows of the code', () => {
  const cells = [...readFileSync('docs/bench.md', 'utf8').matchAll(/^\| `([^`]+)` \|/gm)].map(([, cell = '']) => cell)
  assert.deepEqual(cells.filter((cell) => cell.startsWith('--')).map((cell) => cell.split(' ', 1)[0]), BENCH_FLAGS)
  const names = listContenders().map(({ name }) => name)
  assert.deepEqual(cells.filter((cell) => names.includes(cell)), names)
})
