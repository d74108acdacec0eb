import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { subscribe } from '../../src/events.ts'
import { ask, eventually, Wire } from './client.ts'
import { openHouse, openRuntime } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

const TLS = { key: readFileSync('test/fixtures/tls/key.pem'), cert: readFileSync('test/fixtures/tls/cert.pem') }

const APP = `
import http from 'node:http'
const piece = Buffer.alloc(60_000, 'x')
const endless = (out) => {
  const more = () => { do if (out.destroyed) return; while (out.write(piece)) }
  out.on('drain', more)
  out.on('error', () => {})
  more()
}
const server = http.createServer((req, res) => {
  if (req.url === '/endless') return endless(res)
  if (req.url === '/piece') return res.end(piece)
  if (req.url === '/whole') return res.end(Buffer.alloc(300_000, 'y'))
  if (req.url === '/long') return res.end(Buffer.alloc(40_000_000, 'z'))
  if (req.url === '/burst') { res.write(Buffer.alloc(10_000_000, 'b')); return setTimeout(() => res.end('last'), 2500) }
  if (req.url === '/events') { res.write('first'); return setTimeout(() => res.end('last'), 1600) }
  res.end('fine')
})
server.on('upgrade', (req, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: raw\\r\\n\\r\\n')
  endless(socket)
})
server.listen(3000)
`

const SHORT = { sendTimeout: 500, handlerTimeout: 0 } as const

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`

/** Asks, and reads nothing of what comes. */
async function ignore(t: TestContext, socket: net.Socket, request: string): Promise<net.Socket> {
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(request)
  await once(socket, 'readable')
  return socket
}

/** Reads all that is left, until the server has closed. */
async function drain(socket: net.Socket): Promise<void> {
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  await closed
}

function failures(t: TestContext): string[] {
  const codes: string[] = []
  t.after(subscribe('tenantry:request:error', ({ code, truncated }) => codes.push(`${code} ${truncated}`)))
  return codes
}

test('an answer of which its client takes nothing for sendTimeout is cut, and its slot is free', async (t) => {
  const { port, runtime, log } = await openHouse(t, { 'a.test': APP }, SHORT)
  await ask(port, 'a.test')
  const codes = failures(t)
  const socket = await ignore(t, net.connect({ port, host: '127.0.0.1' }), get('/endless'))
  const started = performance.now()
  await eventually('it is cut', () => codes.length > 0)
  const ms = performance.now() - started
  assert.ok(ms > 450 && ms < 2500, `it took ${ms} ms`)
  assert.deepEqual(codes, ['ERR_SEND_TIMEOUT true'])
  assert.equal(runtime.stats().inFlight, 0)
  await drain(socket)
  assert.equal((await ask(port, 'a.test')).text, 'fine')
  const { err } = log.find(({ msg }) => msg === 'request failed') as unknown as { readonly err: Error }
  assert.match(err.message, /^The client of 'a\.test\S*' took nothing of its answer for \d+ ms; sendTimeout is 500 ms$/)
})

test('a server of one\'s own by TLS cuts such an answer, too, and an upgraded connection', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, SHORT)
  const server = https.createServer(TLS, runtime.handler).on('upgrade', runtime.upgrade)
  const plain = http.createServer(runtime.handler).on('upgrade', runtime.upgrade)
  for (const each of [server, plain]) {
    t.after(() => each.close())
    each.listen(0, '127.0.0.1')
    await once(each, 'listening')
  }
  const [secure, open] = [server, plain].map((each) => (each.address() as AddressInfo).port) as [number, number]
  await ask(open, 'a.test')
  const codes = failures(t)
  const upgrade = 'Connection: Upgrade\r\nUpgrade: raw\r\n'
  const dial = (): tls.TLSSocket => tls.connect({ port: secure, host: '127.0.0.1', rejectUnauthorized: false })
  const sockets = await Promise.all([
    ignore(t, dial(), get('/endless')),
    ignore(t, dial(), get('/', upgrade)),
    ignore(t, net.connect({ port: open, host: '127.0.0.1' }), get('/', upgrade)),
  ])
  await eventually('they are cut', () => codes.length === 3)
  await Promise.all(sockets.map(drain))
  assert.deepEqual(codes, ['ERR_SEND_TIMEOUT true', 'ERR_SEND_TIMEOUT true', 'ERR_SEND_TIMEOUT true'])
  assert.equal(runtime.stats().inFlight, 0)
})

test('HTTP/2: a stream for which its connection takes nothing is reset, and the session goes on', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, SHORT)
  type Listener = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void
  const server = http2.createSecureServer(TLS, runtime.handler as unknown as Listener)
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, { rejectUnauthorized: false })
  t.after(() => client.destroy())
  const codes = failures(t)
  const stream = client.request({ ':path': '/endless', ':authority': 'a.test' })
  stream.on('error', () => {})
  await once(stream, 'response')
  const started = performance.now()
  await new Promise((resolve) => stream.once('close', resolve).once('aborted', resolve))
  const ms = performance.now() - started
  assert.ok(ms > 400 && ms < 2500, `it took ${ms} ms`)
  assert.equal(stream.rstCode, 2)
  assert.deepEqual(codes, ['ERR_SEND_TIMEOUT true'])
  const next = client.request({ ':path': '/', ':authority': 'a.test' })
  assert.equal((await next.setEncoding('utf8').toArray()).join(''), 'fine')
})

test('complete answers that are not read are cut, and so are refusals', async (t) => {
  const { port, runtime, server, log } = await openHouse(t, { 'a.test': APP }, { ...SHORT, lane: 'relay' })
  await ask(port, 'a.test')
  // Each is complete as soon as it comes to the front; what the system takes for a socket comes first: some megabytes.
  const cut = (): boolean => log.some(({ msg }) => /^An answer of 'a\.test\S*' was cut: .* sendTimeout is 500 ms$/.test(msg))
  const socket = await ignore(t, net.connect({ port, host: '127.0.0.1' }), get('/piece').repeat(40))
  // No more at a time than may wait on a connection.
  for (let wave = 0; wave < 20 && !cut(); wave++) {
    await new Promise((resolve) => setTimeout(resolve, 700))
    if (!cut()) socket.write(get('/piece').repeat(40))
  }
  assert.ok(cut(), 'it is told')
  assert.equal(runtime.stats().inFlight, 0)
  await drain(socket)
  const connections = (): Promise<number> => new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
  // So long that what is read at once holds fewer requests than may wait on a connection.
  const refused = `GET / HTTP/1.1\r\nHost: nobody.test\r\nX: ${'x'.repeat(2000)}\r\n\r\n`
  // From here: while this thread still writes, the server's socket may be full already.
  const started = performance.now()
  await ignore(t, net.connect({ port, host: '127.0.0.1' }), refused.repeat(20_000))
  assert.equal(await connections(), 1)
  await eventually('the server has cut the refusals', async () => (await connections()) === 0)
  const ms = performance.now() - started
  assert.ok(ms > 450, `it took ${ms} ms`)
})

test('who takes a little now and then gets all of it, and who has nothing to take is not cut', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, SHORT)
  const server = https.createServer(TLS, runtime.handler)
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const codes = failures(t)
  const slow = async (socket: net.Socket, path = '/long'): Promise<number> => {
    t.after(() => socket.destroy())
    socket.write(get(path, 'Connection: close\r\n'))
    const closed = once(socket, 'close')
    let bytes = 0
    // A window of the kernel at a time, in which it asks for more; then nothing for most of sendTimeout.
    for (let pauses = 0; !socket.readableEnded && !socket.destroyed;) {
      const part = socket.read() as Uint8Array | null
      if (part === null) await Promise.race([once(socket, 'readable'), closed])
      else bytes += part.byteLength
      if (bytes > pauses * 10_000_000) {
        pauses++
        await new Promise((resolve) => setTimeout(resolve, 300))
      }
    }
    return bytes
  }
  const secure = (server.address() as AddressInfo).port
  const [events, burst, ...sizes] = await Promise.all([
    ask(port, 'a.test', '/events'),
    slow(net.connect({ port, host: '127.0.0.1' }), '/burst'),
    slow(net.connect({ port, host: '127.0.0.1' })),
    slow(tls.connect({ port: secure, host: '127.0.0.1', rejectUnauthorized: false })),
  ])
  assert.equal(events.text, 'firstlast')
  assert.ok(burst > 10_000_000, 'it was held back once, and had nothing more to say for a while')
  for (const size of sizes) assert.ok(size > 40_000_000, `${size} bytes`)
  assert.deepEqual(codes, [])
})

test('an answer that waits for another one on its connection is not late before its turn', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP }, SHORT)
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send(get('/events') + get('/whole', 'Connection: close\r\n'))
  const text = await wire.rest()
  assert.match(text, /first[^]*last/)
  assert.ok(text.endsWith('y'.repeat(300_000)))
})

test('sendTimeout 0 waits for ever', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, { ...SHORT, sendTimeout: 0 })
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.socket.pause()
  wire.send(get('/endless'))
  await eventually('it is in flight', () => runtime.stats().inFlight === 1)
  await new Promise((resolve) => setTimeout(resolve, 1200))
  assert.equal(runtime.stats().inFlight, 1)
})

test('past maxConnections a server closes each one more at once, and says so', async (t) => {
  const { port, log } = await openHouse(t, { 'a.test': APP }, { maxConnections: 3 })
  const codes: string[] = []
  t.after(subscribe('tenantry:admission:refuse', ({ code }) => codes.push(code)))
  const wires = []
  for (let index = 0; index < 3; index++) wires.push(await Wire.open(t, port))
  const more = await Promise.all(Array.from({ length: 20 }, () => Wire.open(t, port)))
  await Promise.all(more.map(async (wire) => assert.equal(await wire.rest(), '')))
  assert.deepEqual(codes, Array.from({ length: 20 }, () => 'ERR_CONNECTION_LIMIT'))
  const lines = log.filter(({ code }) => code === 'ERR_CONNECTION_LIMIT')
  assert.equal(lines.length, 10, 'a flood does not fill the log')
  assert.equal(lines[0]?.msg, 'A connection was closed at once: there are maxConnections (3) already')
  for (const wire of wires) wire.send(get('/'))
  await Promise.all(wires.map((wire) => wire.until('fine')))
  wires[0]?.socket.destroy()
  await eventually('there is room again', async () => (await ask(port, 'a.test').catch(() => undefined))?.status === 200)
})
