import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, exchange, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'

const SLOW = `
import { once } from 'node:events'
export default async (req, res) => {
  if (req.url === '/never') return
  if (req.url === '/begun') return void res.write('begun')
  if (req.url === '/gone') { await once(res, 'close'); globalThis.gone = (globalThis.gone ?? 0) + 1; return }
  if (req.url === '/seen') return void res.end(String(globalThis.gone ?? 0))
  let bytes = 0
  for await (const chunk of req) bytes += chunk.length
  res.end(String(bytes))
}
`

test('an application that does not begin its answer within handlerTimeout is answered 504, and is told', async (t) => {
  const { port } = await openHouse(t, { 'a.test': SLOW }, { handlerTimeout: 300 })
  await ask(port, 'a.test')
  const started = performance.now()
  const [never, gone] = await Promise.all([ask(port, 'a.test', '/never'), ask(port, 'a.test', '/gone')])
  assert.deepEqual([never.status, gone.status], [504, 504])
  const took = performance.now() - started
  assert.ok(took > 290 && took < 3000, `it took ${took} ms`)
  await eventually('the application saw its response close', async () => (await ask(port, 'a.test', '/seen')).text === '1')
})

test('an answer that has begun may take its time', async (t) => {
  const { port } = await openHouse(t, { 'a.test': SLOW }, { handlerTimeout: 200 })
  const wire = await Wire.open(t, port)
  wire.send('GET /begun HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('begun')
  // Longer than handlerTimeout and the sweep that looks for it.
  await new Promise((resolve) => setTimeout(resolve, 700))
  assert.equal(wire.socket.closed, false)
})

test('a request that finds no slot within queueTimeout is answered 504', async (t) => {
  const { port } = await openHouse(t, { 'a.test': SLOW }, { maxInFlight: 1, queueTimeout: 200 })
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /begun HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('begun')
  assert.equal((await ask(port, 'a.test')).status, 504)
  wire.socket.destroy()
  await eventually('the slot is free again', async () => (await ask(port, 'a.test')).status === 200)
})

test('an application that does not start within startupTimeout is answered 504 and its thread ends', async (t) => {
  const { port, runtime } = await openHouse(t, { 'hangs.test': 'setInterval(() => {}, 1000)\nawait new Promise(() => {})' }, { startupTimeout: 300 })
  assert.equal((await ask(port, 'hangs.test')).status, 504)
  await eventually('no thread is left', () => Object.values(runtime.stats().contexts).every((count) => count === 0))
})

test('a client that leaves while it waits gives its place up', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW }, { maxInFlight: 1 })
  await ask(port, 'a.test')
  const first = await Wire.open(t, port)
  first.send('GET /begun HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await first.until('begun')
  const second = await Wire.open(t, port)
  second.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await eventually('it waits', () => runtime.stats().queued === 1)
  second.socket.destroy()
  await eventually('nobody waits', () => runtime.stats().queued === 0)
})

test('a body above bodyLimit is answered 413, announced or chunked, and one at the limit is served', async (t) => {
  const { port } = await openHouse(t, { 'a.test': SLOW, 'plain.test': COUNTING }, { bodyLimit: 1000 })
  const post = { method: 'POST', body: 'x'.repeat(1000) }
  assert.equal((await ask(port, 'a.test', '/', post)).text, '1000')
  const announced = await exchange(t, port, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n')
  assert.match(announced, /^HTTP\/1\.1 413 .*\r\n/)
  const chunk = `200\r\n${'x'.repeat(512)}\r\n`
  const chunked = await exchange(t, port, `POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`)
  assert.match(chunked, /^HTTP\/1\.1 413 .*\r\n/)
  assert.match(chunked, /\r\nConnection: close\r\n/i)
  assert.equal((await askJson(port, 'plain.test'))['requests'], 1)
})

test('100 Continue comes from the application, and never for a body that is refused', async (t) => {
  const { port } = await openHouse(t, { 'a.test': SLOW }, { bodyLimit: 1000 })
  const wire = await Wire.open(t, port)
  wire.send('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n')
  await wire.until('HTTP/1.1 100 Continue\r\n\r\n')
  wire.send('body')
  assert.match(await wire.rest(), /HTTP\/1\.1 200 OK[\s\S]*4/)
  const refused = await exchange(t, port, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n')
  assert.match(refused, /^HTTP\/1\.1 413 /)
})
