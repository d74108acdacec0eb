import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'

const MB = 1024 ** 2

/** Holds what it is told to, in the heap or outside it; `/hold` begins an answer that `/go` ends. */
const GROWING = `
let kept, held, requests = 0
export default (req, res) => {
  const [, what, mb] = req.url.split('/')
  if (what === 'heap') kept = new Array(Number(mb) * 2 ** 17).fill(0)
  if (what === 'buffers') kept = Buffer.alloc(Number(mb) * 2 ** 20, 1)
  if (what === 'hold') { held = res; return void res.write('begun ') }
  if (what === 'go') held?.end('finished')
  res.end(JSON.stringify({ requests: ++requests }))
}
`

for (const where of ['heap', 'buffers']) {
  test(`over memoryLimit (${where}) the next context is there at once, and what is in flight finishes in the old one`, async (t) => {
    const { port, runtime, log } = await openHouse(t, { 'a.test': GROWING }, { lane: 'relay', memoryLimit: '64mb', drainTimeout: 10_000 })
    await ask(port, 'a.test')
    const wire = await Wire.open(t, port)
    wire.send('GET /hold HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await wire.until('begun')
    // With the 6 to 10 MB of any context it is above 64 and below the 80 at which it would be ended.
    assert.equal((await ask(port, 'a.test', `/${where}/62`)).status, 200)
    await eventually('the next one serves', () => runtime.stats().births === 2 && runtime.stats().contexts.starting === 0)
    assert.equal((await askJson(port, 'a.test'))['requests'], 1, 'it is a new one')
    assert.deepEqual([runtime.stats().evictions, runtime.stats().ends], [{ memory: 1 }, {}])
    wire.socket.destroy()
    await eventually('the old one is gone', () => runtime.stats().ends.memory === 1)
    assert.deepEqual(log.filter(({ msg }) => msg === 'request failed').map((line) => line['code']), ['ERR_CLIENT_GONE'])
    assert.ok(log.some((line) => line.msg.startsWith('context ended') && line['reason'] === 'memory'))
  })
}

test('over maxMemory idle groups end, the longest unused first, and nothing is started until it is below', async (t) => {
  const ceiling = process.memoryUsage.rss() + 120 * MB
  const { port, runtime, log } = await openHouse(
    t, { 'hog.test': GROWING, 'old.test': COUNTING, 'young.test': COUNTING, 'late.test': COUNTING },
    { maxMemory: ceiling, memoryLimit: '1gb' },
  )
  await ask(port, 'hog.test')
  for (const host of ['old.test', 'young.test']) await ask(port, host)
  assert.equal(runtime.stats().ready, true)
  const wire = await Wire.open(t, port)
  wire.send('GET /hold HTTP/1.1\r\nHost: hog.test\r\n\r\n')
  await wire.until('begun')
  await ask(port, 'hog.test', '/buffers/300')
  await eventually('both idle ones are gone', () => runtime.stats().ends.pressure === 2)
  const gone = log.filter((line) => line.msg === 'group evicted').map((line) => String(line['label']).split(':')[0])
  assert.deepEqual(gone, ['old.test', 'young.test'])
  const refused = await ask(port, 'late.test')
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '5'])
  assert.deepEqual(runtime.stats().reasons, ['memory'])
  assert.equal((await ask(port, 'hog.test')).status, 200, 'who is in use goes on')
  await ask(port, 'hog.test', '/buffers/1')
  await ask(port, 'hog.test', '/go')
  await runtime.evict(`hog.test:${port}`)
  await eventually('there is room again', async () => (await ask(port, 'late.test')).status === 200)
  assert.equal(runtime.stats().ready, true)
})

test('a context that breaks the protocol takes no further request, though its thread still spins', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': `
    let requests = 0
    export default (req, res) => {
      if (req.url !== '/bad') return void res.end(JSON.stringify({ requests: ++requests }))
      res.setHeader('x', 'x'.repeat(1e5))
      res.end()
      setImmediate(() => setImmediate(() => { const end = Date.now() + 1000; while (Date.now() < end) {} }))
    }
  ` }, { lane: 'relay' })
  await ask(port, 'a.test')
  assert.equal((await ask(port, 'a.test', '/bad')).status, 502)
  assert.equal((await askJson(port, 'a.test'))['requests'], 1)
  await eventually('its end is counted', () => runtime.stats().ends.protocol === 1)
})

test('tenants that hang while they start do not hold the starts of others', async (t) => {
  const hangs = 'setInterval(() => {}, 1000)\nawait new Promise(() => {})'
  const { port } = await openHouse(t, { 'one.test': hangs, 'two.test': hangs, 'quick.test': COUNTING }, { maxStarting: 2 })
  for (const host of ['one.test', 'two.test']) ask(port, host).catch(() => {})
  const since = performance.now()
  assert.equal((await ask(port, 'quick.test')).status, 200)
  const took = performance.now() - since
  assert.ok(took < 6000, `it took ${took} ms`)
})

test('a worn-out context is replaced before anybody asks for the next one, and its end says why', async (t) => {
  const { port, runtime, log } = await openHouse(t, { 'old.test': COUNTING, 'used.test': COUNTING }, { maxAge: 700, maxRequests: 3 })
  for (let round = 0; round < 3; round++) await ask(port, 'used.test')
  await ask(port, 'old.test')
  await eventually('both are replaced', () => {
    const { requests, age } = runtime.stats().ends
    return (requests ?? 0) >= 1 && (age ?? 0) >= 1
  })
  await eventually('the next ones serve', () => runtime.stats().births >= 4 && runtime.stats().contexts.starting === 0)
  assert.equal((await askJson(port, 'old.test'))['requests'], 1)
  const why = log.filter(({ msg }) => msg.startsWith('context ended')).map((line) => line['reason'])
  assert.deepEqual(new Set(why), new Set(['requests', 'age']))
})

test('answers that nobody reads hold no more of the front than bufferLimit allows: the oldest is cut', async (t) => {
  const size = 300_000
  const { port, runtime, log } = await openHouse(t, { 'a.test': `
    const body = Buffer.alloc(${size}, 'x')
    export default (req, res) => res.end(body)
  `, 'b.test': COUNTING }, { lane: 'relay', bufferLimit: '512kb' })
  await ask(port, 'a.test')
  const wires = await Promise.all(Array.from({ length: 12 }, () => Wire.open(t, port)))
  for (const wire of wires) wire.socket.pause()
  // What the system takes for a socket comes first: some megabytes that are not the front's.
  for (const wire of wires) wire.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'.repeat(60))
  await eventually('answers were cut', () => log.some(({ msg }) => msg.includes('bufferLimit')))
  assert.equal((await ask(port, 'a.test')).text.length, size, 'who reads is served')
  assert.equal((await ask(port, 'b.test')).status, 200)
  assert.equal(runtime.stats().births, 2)
})
