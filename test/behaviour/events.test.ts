import { test } from 'node:test'
import assert from 'node:assert/strict'
import { dispatchTracing, EVENT_NAMES, subscribe } from '../../src/events.ts'
import { ask, eventually, Wire } from './client.ts'
import { openHouse, writeTenant } from './house.ts'
import type { DispatchTrace, EventName } from '../../src/events.ts'

const APP = `
console.log('loaded')
export default (req, res) => {
  if (req.url === '/crash') { res.write('begun'); return void setTimeout(() => { throw new Error('on purpose') }, 20) }
  res.end('fine')
}
`

test('every channel publishes what its page says, in the order in which it happens', async (t) => {
  const events: { name: EventName; payload: Record<string, unknown> }[] = []
  for (const name of EVENT_NAMES) {
    const stop = subscribe(name, (payload) => void events.push({ name, payload: { ...payload } }))
    t.after(stop)
  }
  const { port, runtime, folder } = await openHouse(t, { 'a.test': APP })
  const label = `a.test:${port}`
  assert.equal((await ask(port, 'a.test')).status, 200)
  await eventually('its output came', () => events.some(({ name }) => name === 'tenantry:context:output'))
  const first = events.splice(0).filter(({ name }) => name !== 'tenantry:context:output')
  assert.deepEqual(first.map(({ name }) => name), [
    'tenantry:context:start', 'tenantry:context:ready', 'tenantry:group:state', 'tenantry:request:start', 'tenantry:request:finish',
  ])
  const contextId = first[0]?.payload['contextId']
  const [start, ready, state, begun, finished] = first.map(({ payload }) => payload) as [
    Record<string, unknown>, Record<string, unknown>, Record<string, unknown>, Record<string, unknown>, Record<string, unknown>,
  ]
  assert.deepEqual(start, { label, processGroup: '', contextId })
  assert.ok((ready['milliseconds'] as number) > 0)
  assert.deepEqual(state, { label, processGroup: '', from: 'starting', to: 'serving', reason: undefined })
  const requestId = begun['requestId']
  assert.deepEqual(begun, { label, contextId, requestId, method: 'GET' })
  assert.ok((finished['responseTime'] as number) > 0)
  assert.deepEqual({ ...finished, responseTime: 0 }, { label, contextId, requestId, method: 'GET', statusCode: 200, responseTime: 0 })

  const long = `${'x'.repeat(60)}.`.repeat(6)
  await ask(port, `${long}test`)
  const refused = events.splice(0)
  assert.deepEqual(refused.map(({ name }) => name), ['tenantry:admission:refuse'])
  assert.equal(refused[0]?.payload['code'], 'ERR_HOST_INVALID')
  assert.ok(String(refused[0]?.payload['host']).length <= 256)

  const wire = await Wire.open(t, port)
  wire.send('GET /crash HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.rest()
  await eventually('its end came', () => events.some(({ name }) => name === 'tenantry:context:exit'))
  const failure = events.find(({ name }) => name === 'tenantry:request:error')?.payload as Record<string, unknown>
  assert.deepEqual([failure['label'], failure['contextId'], failure['code'], failure['truncated'], failure['method']], [label, contextId, 'ERR_CONTEXT_EXITED', true, 'GET'])
  const exit = events.find(({ name }) => name === 'tenantry:context:exit')?.payload as Record<string, unknown>
  assert.deepEqual([exit['reason'], exit['exitCode'], (exit['error'] as Error).message], ['crash', 1, 'on purpose'])

  await ask(port, 'a.test')
  events.length = 0
  assert.equal(await runtime.evict(label), true)
  const evicted = events.find(({ name }) => name === 'tenantry:evict')?.payload
  assert.deepEqual(evicted, { label, processGroup: '', reason: 'admin' })
  assert.deepEqual(events.filter(({ name }) => name === 'tenantry:group:state').map(({ payload }) => payload['to']), ['draining', 'closed'])

  await ask(port, 'a.test')
  await writeTenant(folder, 'a.test', 'throw new Error("a broken version")')
  await runtime.refresh()
  const warning = events.find(({ name }) => name === 'tenantry:warning')?.payload as Record<string, unknown>
  assert.equal(warning['label'], label)
  assert.match(warning['message'] as string, /^The reload failed and the old version goes on: .*a broken version/)
})

test('one line of output is one event, however long it is, and never unbounded', async (t) => {
  const lines: string[] = []
  t.after(subscribe('tenantry:context:output', ({ line }) => void lines.push(line)))
  const { port } = await openHouse(t, { 'a.test': `
    process.stdout.write('one\\ntwo\\nthree without an end')
    process.stdout.write('x'.repeat(5_000_000) + '\\nlast\\n')
    export default (req, res) => res.end('fine')
  ` })
  await ask(port, 'a.test')
  await eventually('the last line came', () => lines.includes('last'))
  assert.deepEqual(lines.slice(0, 2), ['one', 'two'])
  assert.ok(lines.every((line) => line.length <= 65_536), `the longest has ${Math.max(...lines.map((line) => line.length))}`)
})

test('a tracer hears each dispatch on one context object, from its head to its lease or its refusal', async (t) => {
  const heard: { step: string; trace: DispatchTrace }[] = []
  const tell = (step: string) => (trace: DispatchTrace): void => void heard.push({ step, trace })
  const subscribers = {
    start: tell('start'), end: tell('end'), asyncStart: tell('asyncStart'), asyncEnd: tell('asyncEnd'), error: tell('error'),
  }
  const { port } = await openHouse(t, { 'a.test': APP })
  dispatchTracing.subscribe(subscribers)
  t.after(() => dispatchTracing.unsubscribe(subscribers))
  await ask(port, 'a.test')
  assert.deepEqual(heard.map(({ step }) => step), ['start', 'end', 'asyncEnd'], 'the first one waits for its context')
  assert.equal(new Set(heard.map(({ trace }) => trace)).size, 1)
  assert.deepEqual(heard[0]?.trace, { method: 'GET', host: 'a.test', label: `a.test:${port}` })
  heard.length = 0
  await ask(port, 'a.test')
  assert.deepEqual(heard.map(({ step }) => step), ['start', 'asyncEnd', 'end'], 'a live one is leased at once')
  heard.length = 0
  await ask(port, 'b.test')
  assert.deepEqual(heard.map(({ step }) => step), ['start', 'error', 'asyncEnd', 'end'])
  const refused: DispatchTrace | undefined = heard.at(0)?.trace
  assert.equal(refused?.error?.name, 'TenantryError')
})
