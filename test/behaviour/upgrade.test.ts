import http from 'node:http'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { WebSocket } from 'ws'
import { ask, eventually, Wire } from './client.ts'
import { COUNTING, openHouse, openRuntime } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

const WS = import.meta.resolve('ws')

const ECHO = `
import http from 'node:http'
import { WebSocketServer } from '${WS.replace(/ws\/[^/]*$/, 'ws/wrapper.mjs')}'
const server = http.createServer((req, res) => res.end('plain'))
const sockets = new WebSocketServer({ server })
sockets.on('connection', (socket, req) => {
  socket.send('hello ' + req.headers.host + ' from ' + req.socket.remoteAddress)
  socket.on('message', (data, isBinary) => {
    if (String(data) === 'close') socket.close(4001, 'as asked')
    else if (String(data) === 'terminate') socket.terminate()
    else if (String(data) === 'crash') setImmediate(() => { throw new Error('on purpose') })
    else socket.send(data, { binary: isBinary })
  })
})
server.listen(3000)
`

/** Answers by itself, and echoes bytes. */
const RAW = `
import http from 'node:http'
const server = http.createServer((req, res) => res.end('plain'))
server.on('upgrade', (req, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: raw\\r\\n\\r\\n')
  socket.write('head:' + head.length + ';')
  if (head.length > 0) socket.write(head)
  socket.pipe(socket)
  socket.on('error', () => {})
})
server.listen(3000)
`

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: raw\r\n\r\n'

async function connect(t: TestContext, port: number, host: string): Promise<{ socket: WebSocket; hello: string }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host } })
  t.after(() => socket.terminate())
  const [hello] = (await once(socket, 'message')) as [Buffer]
  return { socket, hello: String(hello) }
}

async function echoes(t: TestContext, port: number): Promise<void> {
  const { socket, hello } = await connect(t, port, 'ws.test')
  assert.equal(hello, 'hello ws.test from 127.0.0.1')
  for (const size of [1, 125, 126, 65_536, 3_000_000]) {
    const sent = Buffer.alloc(size, size % 251)
    socket.send(sent)
    const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    assert.equal(isBinary, true)
    assert.ok(sent.equals(data), `${size} bytes came back`)
  }
  socket.send('close')
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  assert.deepEqual([code, String(reason)], [4001, 'as asked'])
}

test('WebSockets echo through a server of the runtime', async (t) => {
  const { port, runtime } = await openHouse(t, { 'ws.test': ECHO })
  await echoes(t, port)
  await eventually('the lease is returned', () => runtime.stats().inFlight === 0)
  assert.equal((await ask(port, 'ws.test')).text, 'plain')
})

test('WebSockets echo through an embedding server', async (t) => {
  const { runtime } = await openRuntime(t, { 'ws.test': ECHO })
  const server = http.createServer(runtime.handler)
  server.on('upgrade', runtime.upgrade)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  await echoes(t, (server.address() as AddressInfo).port)
})

test('bytes that come in the packet of the upgrade reach the application, also while it starts', async (t) => {
  const { port } = await openHouse(t, { 'raw.test': RAW })
  for (const round of ['cold', 'warm']) {
    const wire = await Wire.open(t, port)
    wire.send(`GET / HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}first ${round}`)
    await wire.until(`;first ${round}`)
    wire.send(' second')
    await wire.until('second')
    wire.socket.end()
    assert.match(await wire.rest(), new RegExp(`first ${round} second$`))
  }
})

test('an end on either side reaches the other one', async (t) => {
  const { port, runtime } = await openHouse(t, { 'ws.test': ECHO })
  const first = await connect(t, port, 'ws.test')
  first.socket.terminate()
  await eventually('the application lost its client', () => runtime.stats().inFlight === 0)
  const second = await connect(t, port, 'ws.test')
  second.socket.send('terminate')
  assert.deepEqual((await once(second.socket, 'close'))[0], 1006)
})

test('a context that crashes closes its WebSockets and no other', async (t) => {
  const { port } = await openHouse(t, { 'ws.test': ECHO, 'other.test': ECHO })
  const dying = await connect(t, port, 'ws.test')
  const living = await connect(t, port, 'other.test')
  dying.socket.send('crash')
  await once(dying.socket, 'close')
  living.socket.send('still here')
  assert.equal(String((await once(living.socket, 'message'))[0]), 'still here')
})

test('an upgrade that no application wants is refused and its connection is closed, whatever the client does', async (t) => {
  const { port, server } = await openHouse(t, { 'plain.test': COUNTING }, { allowedHosts: ['plain.test', 'empty.test'] })
  for (const [host, status] of [['stranger.test', 421], ['empty.test', 404], ['a/b', 400]] as const) {
    const wire = await Wire.open(t, port)
    wire.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${UPGRADE}`)
    await wire.until(new RegExp(`^HTTP/1\\.1 ${status} `))
  }
  const count = promisify(server.getConnections.bind(server))
  await eventually('the clients never close, so the server did', async () => (await count()) === 0)
  const ignored = await Wire.open(t, port)
  ignored.send(`GET / HTTP/1.1\r\nHost: plain.test\r\n${UPGRADE}`)
  await eventually('an application without a listener answers or closes', () => ignored.ended || ignored.text !== '')
})

test('a client that resets its connection while its upgrade waits for a start harms nobody', async (t) => {
  const slow = `await new Promise((resolve) => setTimeout(resolve, 300))\n${RAW}`
  const { port, runtime } = await openHouse(t, { 'slow.test': slow, 'b.test': COUNTING })
  for (let index = 0; index < 5; index++) {
    const wire = await Wire.open(t, port)
    wire.send(`GET / HTTP/1.1\r\nHost: slow.test\r\n${UPGRADE}`)
    await eventually('it waits', () => runtime.stats().queued > 0)
    wire.socket.resetAndDestroy()
  }
  await eventually('nobody waits', () => runtime.stats().queued === 0)
  assert.equal((await ask(port, 'b.test')).status, 200)
})

test('a client that neither reads nor closes holds no more than its window, and close() ends with it', async (t) => {
  const { port, runtime } = await openHouse(t, { 'raw.test': RAW }, { drainTimeout: 300 })
  const wire = await Wire.open(t, port)
  wire.send(`GET / HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}`)
  await wire.until('head:0;')
  wire.socket.pause()
  wire.send(Buffer.alloc(20_000_000))
  const report = await runtime.close()
  assert.deepEqual([report.ended, report.zombies], [1, 0])
})
