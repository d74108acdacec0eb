import { test } from 'node:test'
import assert from 'node:assert/strict'
import { held } from '../behaviour/heap.ts'
import { until } from '../wire/ends.ts'
import { ask, record, startSource } from './start.ts'

test("a tenant's stdout and stderr become its events, line by line and in order", async (t) => {
  const output = record(t, 'tenantry:context:output')
  const context = startSource(t, `
    console.log('first'); console.error('second'); process.stdout.write('half '); process.stdout.write('a line\\r\\n')
    process.stdout.write('tschüß €\\n\\nno newline at the end')
    export default (req, res) => res.end()`)
  await context.ready
  context.drain()
  await context.ended
  const lines = (stream: string): string[] =>
    output.filter((one) => one.contextId === context.id && one.stream === stream).map(({ line }) => line)
  await until(() => lines('stdout').length >= 5)
  assert.deepEqual(lines('stdout'), ['first', 'half a line', 'tschüß €', '', 'no newline at the end'])
  assert.deepEqual(lines('stderr'), ['second'])
  assert.equal(output.find(({ contextId }) => contextId === context.id)?.label, context.spec.label)
})

test('a character split between two chunks arrives whole', async (t) => {
  const output = record(t, 'tenantry:context:output')
  const context = startSource(t, `
    const euro = Buffer.from('€\\n')
    process.stdout.write(euro.subarray(0, 1), () => process.stdout.write(euro.subarray(1)))
    export default (req, res) => res.end()`)
  await until(() => output.some(({ contextId }) => contextId === context.id))
  assert.deepEqual(output.filter(({ contextId }) => contextId === context.id).map(({ line }) => line), ['€'])
})

test('a line without end is cut into bounded pieces, and nothing of it is lost', async (t) => {
  const output = record(t, 'tenantry:context:output')
  const context = startSource(t, 'process.stdout.write("x".repeat(20_000) + "\\nnext\\n"); export default (req, res) => res.end()')
  const lines = (): string[] => output.filter(({ contextId }) => contextId === context.id).map(({ line }) => line)
  await until(() => lines().includes('next'))
  assert.deepEqual(lines().map(({ length }) => length), [8192, 8192, 20_000 - 2 * 8192, 4])
})

test('endless output neither grows the host nor keeps the application from answering', async (t) => {
  const context = startSource(t, `
    const chunk = ('y'.repeat(99) + '\\n').repeat(1000)
    const spill = () => { process.stdout.write(chunk, spill) }
    spill()
    let written = 0
    export default (req, res) => res.end('still here')`)
  let bytes = 0
  // Nobody keeps what passes, so whatever grows is ours.
  const { subscribe } = await import('../../src/events.ts')
  t.after(subscribe('tenantry:context:output', ({ contextId, line }) => { if (contextId === context.id) bytes += line.length }))
  await context.ready
  await until(() => bytes > 5e6)
  const before = held()
  await until(() => bytes > 60e6)
  assert.equal((await ask(context, '/')).body, 'still here')
  const grown = held() - before
  assert.ok(grown < 10e6, `${Math.round(grown / 1e6)} MB more after 55 MB of output`)
})

test('three hundred thousand empty lines at once are handed on over many turns of the loop', async (t) => {
  const context = startSource(t, `export default (req, res) => { process.stdout.write('\\n'.repeat(3e5) + 'last\\n'); res.end() }`)
  await context.ready
  const { subscribe } = await import('../../src/events.ts')
  let lines = 0
  let last = ''
  t.after(subscribe('tenantry:context:output', ({ contextId, line }) => {
    if (contextId !== context.id) return
    lines++
    // What a logger does with a line.
    last = (JSON.parse(JSON.stringify({ line, at: Date.now() })) as { line: string }).line
  }))
  await ask(context, '/')
  const began = performance.now()
  let longest = 0
  let turned = began
  await until(() => {
    longest = Math.max(longest, performance.now() - turned)
    turned = performance.now()
    return last === 'last'
  })
  const all = performance.now() - began
  assert.equal(lines, 3e5 + 1)
  assert.ok(longest < all / 3, `a turn took ${Math.round(longest)} of ${Math.round(all)} ms`)
})
