import { once } from 'node:events'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { WebSocket } from 'ws'
import { ask, eventually, Wire } from './client.ts'
import { openHouse } from './house.ts'
import type { TestContext } from 'node:test'
import type { Answer } from './client.ts'
import type { House } from './house.ts'

/** Far longer than any of these tests takes: what ends before it has ended by itself. */
const DRAIN = 20_000

const EVENTS = `
import http from 'node:http'
const streams = new Set()
const server = http.createServer((req, res) => {
  if (req.url === '/slow') return setTimeout(() => res.end('finished'), 600)
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write('data: hello\\n\\n')
  streams.add(res)
})
process.once('SIGTERM', (...told) => {
  console.log('told ' + told.join(' '))
  for (const stream of streams) stream.end('data: goodbye\\n\\n')
  server.close(() => console.log('closed'))
})
LISTEN
`

async function openStream({ port }: House, t: TestContext): Promise<Wire> {
  const wire = await Wire.open(t, port)
  wire.send('GET /events HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
  await wire.until('data: hello')
  return wire
}

/** A request that takes 600 ms and has arrived in its context. */
async function askSlowly({ port, runtime }: House): Promise<{ readonly answer: Promise<Answer> }> {
  const before = runtime.stats().inFlight
  const answer = ask(port, 'a.test', '/slow')
  answer.catch(() => {})
  await eventually('the slow request is under way', () => runtime.stats().inFlight > before)
  return { answer }
}

for (const [how, listen] of [['listens', 'server.listen(3000)'], ['is exported', 'export default server']] as const) {
  test(`an application whose server ${how} hears SIGTERM at once, ends its event streams itself, and answers what is in flight`, async (t) => {
    const house = await openHouse(t, { 'a.test': EVENTS.replace('LISTEN', listen) }, { drainTimeout: DRAIN })
    const stream = await openStream(house, t)
    const slow = await askSlowly(house)
    const closing = house.runtime.close()
    assert.match(await stream.rest(), /goodbye\n\n\r\n0\r\n\r\n$/)
    const { text, complete } = await slow.answer
    assert.deepEqual([text, complete], ['finished', true])
    await closing
    assert.deepEqual(house.log.map(({ msg }) => msg).filter((line) => /^(told|closed)/.test(line)).slice(0, 2), ['told SIGTERM 15', 'closed'])
    assert.equal(house.runtime.stats().contexts.zombie, 0)
  })
}

test('server.close() waits for open WebSockets, which the application closes itself', async (t) => {
  const ws = import.meta.resolve('ws').replace(/ws\/[^/]*$/, 'ws/wrapper.mjs')
  const house = await openHouse(t, { 'a.test': `
    import http from 'node:http'
    import { WebSocketServer } from '${ws}'
    const server = http.createServer((req, res) => res.end('plain'))
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', (socket) => socket.send('hello'))
    process.once('SIGTERM', () => {
      server.close(() => process.exit())
      setTimeout(() => { for (const socket of sockets.clients) socket.close(1001, 'going away') }, 200)
    })
    server.listen(3000)
  ` }, { drainTimeout: DRAIN })
  const socket = new WebSocket(`ws://127.0.0.1:${house.port}/`, { headers: { host: 'a.test' } })
  t.after(() => socket.terminate())
  await once(socket, 'message')
  const closing = house.runtime.close()
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  assert.deepEqual([code, String(reason)], [1001, 'going away'])
  await closing
})

test('without a listener nothing is cut: the context ends when its last request is over', async (t) => {
  const house = await openHouse(t, { 'a.test': `
    setInterval(() => {}, 1000)
    export default (req, res) => {
      res.write('begun ')
      setTimeout(() => res.end('finished'), req.url === '/slow' ? 600 : 0)
    }
  ` }, { drainTimeout: DRAIN })
  const slow = await askSlowly(house)
  const started = performance.now()
  await house.runtime.close()
  assert.ok(performance.now() - started < DRAIN / 2)
  const { text, complete } = await slow.answer
  assert.deepEqual([text, complete], ['begun finished', true])
})

test('an application that listens and has no server to close ends when its own work is done', async (t) => {
  const house = await openHouse(t, { 'a.test': `
    process.once('SIGTERM', () => setTimeout(() => console.log('cleaned up'), 300))
    export default (req, res) => setTimeout(() => res.end('finished'), req.url === '/slow' ? 600 : 0)
  ` }, { drainTimeout: DRAIN })
  const slow = await askSlowly(house)
  const started = performance.now()
  await house.runtime.close()
  assert.ok(performance.now() - started < DRAIN / 2)
  assert.equal((await slow.answer).text, 'finished')
  assert.ok(house.log.some(({ msg }) => msg === 'cleaned up'))
})

test('process.exit() in the listener is the decision of the application: what is in flight breaks off', async (t) => {
  const house = await openHouse(t, { 'a.test': EVENTS.replace('LISTEN', "process.once('SIGTERM', () => process.exit())\nserver.listen(3000)")
    .replace("for (const stream of streams) stream.end('data: goodbye\\n\\n')", '') }, { drainTimeout: DRAIN })
  const stream = await openStream(house, t)
  const started = performance.now()
  await house.runtime.close()
  assert.ok(performance.now() - started < DRAIN / 2)
  assert.doesNotMatch(await stream.rest(), /\r\n0\r\n/)
})

test('a listener that throws crashes its context as an uncaught exception does, and no other', async (t) => {
  const house = await openHouse(t, {
    'a.test': "process.on('SIGTERM', () => { throw new Error('on purpose') })\nexport default (req, res) => res.end('a')",
    'b.test': "process.on('SIGTERM', () => console.log('told'))\nexport default (req, res) => res.end('b')",
  }, { drainTimeout: DRAIN })
  await Promise.all([ask(house.port, 'a.test'), ask(house.port, 'b.test')])
  await house.runtime.close()
  assert.ok(house.log.some((line) => JSON.stringify(line).includes('on purpose')))
  assert.ok(house.log.some(({ msg }) => msg === 'told'))
})
