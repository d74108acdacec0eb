import { test, type TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { pino, type LoggerOptions } from 'pino'
import { publish } from '../../src/events.ts'
import { TenantryError } from '../../src/errors.ts'
import { startLog } from '../../src/ops/log.ts'
import { FakeClock } from './fake-clock.ts'

type Line = Record<string, unknown>

const GROUP = { label: 'a.example.test', processGroup: '' }
const CONTEXT = { ...GROUP, contextId: 7 }

function capture(
  t: TestContext,
  options: LoggerOptions = {},
): { lines: Line[]; raw: string[]; clock: FakeClock; stop: () => void } {
  const lines: Line[] = []
  const raw: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      raw.push(String(chunk))
      lines.push(JSON.parse(String(chunk)) as Line)
      done()
    },
  })
  const clock = new FakeClock()
  const stop = startLog(pino({ base: null, timestamp: false, ...options }, stream), clock)
  t.after(stop)
  return { lines, raw, clock, stop }
}

test('a change of state is an info line with the fields of the log', (t) => {
  const { lines } = capture(t)
  publish('tenantry:group:state', { ...GROUP, from: 'starting', to: 'serving' })
  publish('tenantry:context:ready', { ...CONTEXT, milliseconds: 31.4 })
  publish('tenantry:evict', { ...GROUP, reason: 'lru' })
  assert.deepEqual(lines, [
    { level: 30, ...GROUP, from: 'starting', to: 'serving', msg: 'group serving' },
    { level: 30, ...CONTEXT, milliseconds: 31, msg: 'context ready' },
    { level: 30, ...GROUP, reason: 'lru', msg: 'group evicted' },
  ])
})

test('why a start failed stands in the log, with the stack of the tenant', (t) => {
  const { lines } = capture(t)
  const error = new TenantryError('ERR_START_FAILED', 'the entry threw', { cause: new Error('no database') })
  publish('tenantry:context:exit', { ...CONTEXT, reason: 'startup', exitCode: 1, error })
  assert.equal(lines[0]?.['level'], 50)
  assert.match(JSON.stringify(lines[0]?.['err']), /no database/)
})

test("a daemon's own words are warnings, without the empty lines between them", (t) => {
  const { lines } = capture(t)
  for (const line of ['', 'FATAL ERROR: heap out of memory', '  ']) {
    publish('tenantry:daemon:output', { processGroup: 'shop', pid: 7, stream: 'stderr', line })
  }
  assert.deepEqual(lines, [{ level: 40, processGroup: 'shop', pid: 7, stream: 'stderr', msg: 'FATAL ERROR: heap out of memory' }])
})

test('a context that was ended on purpose is no error', (t) => {
  const { lines } = capture(t)
  publish('tenantry:context:exit', { ...CONTEXT, reason: 'lru', exitCode: 0 })
  publish('tenantry:context:exit', { ...CONTEXT, reason: 'exit', exitCode: 0 })
  publish('tenantry:context:exit', { ...CONTEXT, reason: 'crash', exitCode: 1 })
  assert.deepEqual(
    lines.map(({ level }) => level),
    [30, 30, 50],
  )
})

test('a flood of refusals leaves ten lines and one count per code in ten seconds', (t) => {
  const { lines, clock } = capture(t)
  for (let i = 0; i < 5000; i++) {
    publish('tenantry:admission:refuse', { host: `h${i}`, code: 'ERR_HOST_NOT_ALLOWED', message: 'not allowed' })
  }
  publish('tenantry:admission:refuse', { host: 'x', code: 'ERR_HOST_INVALID', message: 'invalid' })
  assert.equal(lines.length, 11)
  assert.equal(lines[0]?.['level'], 40)
  clock.advance(10_000)
  assert.deepEqual(lines.slice(11), [
    { level: 40, code: 'ERR_HOST_NOT_ALLOWED', suppressed: 4990, msg: 'more of the same were not logged' },
  ])
  publish('tenantry:admission:refuse', { host: 'y', code: 'ERR_HOST_NOT_ALLOWED', message: 'not allowed' })
  assert.equal(lines.length, 13)
})

test('what was held back is counted when the log stops, and then it is silent', (t) => {
  const { lines, stop } = capture(t)
  for (let i = 0; i < 12; i++) publish('tenantry:warning', { message: 'far limit' })
  stop()
  assert.equal(lines.at(-1)?.['suppressed'], 2)
  const before = lines.length
  publish('tenantry:evict', { ...GROUP, reason: 'lru' })
  assert.equal(lines.length, before)
})

test('codes that nobody knows share one limit', (t) => {
  const { lines } = capture(t)
  for (let i = 0; i < 100; i++) publish('tenantry:admission:refuse', { host: 'h', code: `ERR_${i}`, message: 'm' })
  assert.equal(lines.length, 10)
})

test('requests are written only where somebody asked for debug', (t) => {
  const info = capture(t)
  const debug = capture(t, { level: 'debug' })
  publish('tenantry:request:finish', {
    label: 'a',
    contextId: 1,
    requestId: 2,
    method: 'GET',
    statusCode: 200,
    responseTime: 3,
  })
  assert.equal(info.lines.length, 0)
  assert.equal(debug.lines[0]?.['statusCode'], 200)
})

test('a logger that two runtimes share writes each line once, until both have stopped', (t) => {
  const lines: string[] = []
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) })
  const stops = [startLog(logger), startLog(logger)]
  t.after(() => stops.forEach((stop) => stop()))
  const evict = (): void => publish('tenantry:evict', { ...GROUP, reason: 'lru' })
  evict()
  assert.equal(lines.length, 1)
  stops[0]?.()
  stops[0]?.()
  evict()
  assert.equal(lines.length, 2)
  stops[1]?.()
  evict()
  assert.equal(lines.length, 2)
})

test('a line of a tenant becomes a line of its own logger', (t) => {
  const { lines } = capture(t)
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: 'hello' })
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stderr', line: '{not json}' })
  assert.deepEqual(lines, [
    { level: 30, ...CONTEXT, stream: 'stdout', msg: 'hello' },
    { level: 40, ...CONTEXT, stream: 'stderr', msg: '{not json}' },
  ])
})

test('a JSON line passes through with its level, message and fields', (t) => {
  const { lines } = capture(t)
  publish('tenantry:context:output', {
    ...CONTEXT,
    stream: 'stdout',
    line: '{"level":50,"msg":"oh","user":{"id":1},"time":5}',
  })
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: '{"level":"WARN","message":"hm"}' })
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: '{"level":"constructor","msg":5}' })
  assert.deepEqual(lines, [
    { level: 50, ...CONTEXT, user: { id: 1 }, stream: 'stdout', msg: 'oh' },
    { level: 40, ...CONTEXT, stream: 'stdout', msg: 'hm' },
    { level: 30, ...CONTEXT, stream: 'stdout', msg: '' },
  ])
})

test('a tenant cannot speak as another tenant, nor break a line', (t) => {
  const { lines, raw } = capture(t)
  const forged =
    '{"label":"victim","contextId":1,"processGroup":"p","stream":"x","__proto__":{"a":1},"l\\u0061bel":"victim","msg":"a\\nb"}'
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: forged })
  assert.deepEqual(lines, [{ level: 30, ...CONTEXT, stream: 'stdout', msg: 'a\nb' }])
  assert.doesNotMatch(raw.join(''), /victim/)
  assert.equal(raw.join('').split('\n').length, 2)
})

test('a JSON line of a tenant cannot grow without a bound', (t) => {
  const { lines, raw } = capture(t)
  const wide = JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, i])))
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: wide })
  assert.ok(Object.keys(lines[0] as Line).length <= 70)
  const deep = `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`
  publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: deep })
  // As long as it came, where Node writes it as it is; cut to a depth, where it cannot.
  assert.ok((raw[1] as string).length < deep.length + 500)
})

test('endless output of one tenant is held back and counted, and another is still heard', (t) => {
  const { lines, clock } = capture(t)
  for (let i = 0; i < 12_000; i++) publish('tenantry:context:output', { ...CONTEXT, stream: 'stdout', line: 'x' })
  publish('tenantry:context:output', {
    ...CONTEXT,
    contextId: 8,
    label: 'b.example.test',
    stream: 'stdout',
    line: 'me too',
  })
  assert.equal(lines.length, 10_001)
  assert.equal(lines.at(-1)?.['label'], 'b.example.test')
  clock.advance(10_000)
  assert.deepEqual(lines.at(-1), {
    level: 40,
    ...CONTEXT,
    suppressed: 2000,
    msg: 'more output of this tenant was not logged',
  })
})
