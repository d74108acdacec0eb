import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { systemClock } from '../../src/clock.ts'
import { subscribe } from '../../src/events.ts'
import { HeadDeadlines } from '../../src/http/head-deadlines.ts'
import { Sweep } from '../../src/connection/sweep.ts'
import { ask, eventually, Wire } from '../behaviour/client.ts'
import { openHouse, openRuntime } from '../behaviour/house.ts'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../src/clock.ts'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import type { WatchedServer } from '../../src/http/head-deadlines.ts'

const TLS = { key: readFileSync('test/fixtures/tls/key.pem'), cert: readFileSync('test/fixtures/tls/cert.pem') }
type Listener = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void

const APP = `
export default async (req, res) => {
  if (req.url === '/never-reads') return void setTimeout(() => res.end('late'), 900)
  if (req.url === '/late-continue') await new Promise((resolve) => setTimeout(resolve, 900))
  if (req.url === '/pauses') {
    let bytes = 0
    req.once('readable', async () => {
      await new Promise((resolve) => setTimeout(resolve, 1200))
      for await (const chunk of req) bytes += chunk.length
      res.end(String(bytes))
    })
    return
  }
  let bytes = 0
  try {
    for await (const chunk of req) bytes += chunk.length
    res.end(String(bytes))
  } catch { /* cut */ }
}
`

const FAST = { headerTimeout: 400, headerMinRate: 0, bodyTimeout: 400, bodyMinRate: 0 } as const

/** A host's own server, watched. */
async function protect(t: TestContext, server: WatchedServer, timeout = 400): Promise<number> {
  const sweep = new Sweep(systemClock)
  new HeadDeadlines({ timeout, maxTimeout: 0, minRate: 0 }, sweep).protect(server)
  t.after(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => eventually('nothing is left in the sweep', () => sweep.size === 0))
  return (server.address() as AddressInfo).port
}

/** Sends `text`, then a byte now and then; resolves when the other side has closed, with how long that took. */
async function dribble(t: TestContext, socket: Duplex, text: string | Uint8Array, more = ''): Promise<{ text: string; ms: number }> {
  t.after(() => socket.destroy())
  let got = ''
  socket.on('error', () => {})
  socket.on('data', (part: Buffer) => { got += part.toString('latin1') })
  const started = performance.now()
  if (text !== '') socket.write(text)
  const timer = setInterval(() => { if (more !== '' && socket.writable) socket.write(more) }, 60)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(timer)
  return { text: got, ms: performance.now() - started }
}

function connect(port: number): net.Socket {
  return net.connect({ port, host: '127.0.0.1' })
}

function connectTls(port: number, ALPNProtocols: string[] = []): tls.TLSSocket {
  return tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols })
}

test('protect: a slow head is cut on plain and TLS servers, a silent connection too, and what is served goes on', async (t) => {
  const answer: http.RequestListener = (req, res) => void setTimeout(() => res.end('served'), req.url === '/slow' ? 900 : 0)
  const plain = await protect(t, http.createServer(answer))
  const secure = await protect(t, https.createServer(TLS, answer))
  for (const open of [() => connect(plain), () => connectTls(secure)]) {
    const [line, fields, silent, slow] = await Promise.all([
      dribble(t, open(), 'GET /', 'a'),
      dribble(t, open(), 'GET / HTTP/1.1\r\nHost: a\r\nX: ', 'a'),
      dribble(t, open(), ''),
      dribble(t, open(), 'GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    ])
    assert.equal(line.text, '')
    assert.match(fields.text, /^HTTP\/1\.1 408 Request Timeout\r\n[^]*\r\nConnection: close\r\n\r\n408 Request Timeout\n/)
    assert.equal(silent.text, '')
    assert.match(slow.text, /served$/)
    for (const { ms } of [line, fields, silent]) assert.ok(ms > 280 && ms < 1500, `it took ${ms} ms`)
  }
})

test('protect: between requests only keepAliveTimeout counts, and a head on a used connection is watched again', async (t) => {
  const server = http.createServer((_req, res) => res.end('x'))
  server.keepAliveTimeout = 3000
  const port = await protect(t, server)
  const wire = await Wire.open(t, port)
  for (let times = 0; times < 3; times++) {
    wire.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    // Idle for longer than a head may take.
    await new Promise((resolve) => setTimeout(resolve, 600))
  }
  assert.equal(wire.socket.closed, false)
  assert.equal(wire.text.split('HTTP/1.1 200').length, 4)
  const started = performance.now()
  wire.send('GET / HTTP/1.1\r\nHo')
  assert.match(await wire.rest(), /HTTP\/1\.1 408 /)
  const ms = performance.now() - started
  assert.ok(ms > 280 && ms < 1500, `it took ${ms} ms`)
})

test('protect: a head after an answer that came before its body ended, and requests that no listener of ours sees, count', async (t) => {
  const server = http.createServer((_req, res) => res.end('early'))
  // Neither of these is a 'request'.
  server.on('checkContinue', (req: http.IncomingMessage, res: http.ServerResponse) => {
    res.writeContinue()
    req.resume().on('end', () => res.end('continued'))
  })
  server.on('upgrade', (_req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    socket.pipe(socket)
  })
  const port = await protect(t, server)
  const [upload, expects, tunnel] = await Promise.all([Wire.open(t, port), Wire.open(t, port), Wire.open(t, port)])
  upload.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n')
  expects.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n')
  tunnel.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  for (let byte = 0; byte < 20; byte++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (const wire of [upload, expects, tunnel]) wire.send('b')
  }
  await expects.until('continued')
  await tunnel.until('b'.repeat(20))
  for (const wire of [upload, expects]) wire.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  for (const wire of [upload, expects]) await wire.until(/200 OK[^]*200 OK/)
})

test('protect: an HTTP/2 connection that makes no stream of what it sends is closed, one that works is not', async (t) => {
  const handler = (_req: unknown, res: http.ServerResponse): void => void setTimeout(() => res.end('x'), 600)
  const h2c = await protect(t, http2.createServer(handler as unknown as Listener))
  const h2 = await protect(t, http2.createSecureServer({ ...TLS, allowHTTP1: true }, handler as unknown as Listener))
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const settings = '\0\0\0\x04\0\0\0\0\0'
  // The head of a HEADERS frame of 200 bytes that never come.
  const headers = '\0\0\xc8\x01\x04\0\0\0\x01'
  const raw = (text: string): Buffer => Buffer.from(text, 'latin1')
  for (const open of [() => connect(h2c), () => connectTls(h2, ['h2'])]) {
    const cut = await Promise.all([
      dribble(t, open(), raw(preface.slice(0, 10))),
      dribble(t, open(), raw(preface)),
      dribble(t, open(), raw(preface + settings + headers), 'a'),
    ])
    for (const { ms } of cut) assert.ok(ms > 280 && ms < 2000, `it took ${ms} ms`)
  }
  const client = http2.connect(`http://127.0.0.1:${h2c}`)
  t.after(() => client.destroy())
  for (let times = 0; times < 2; times++) {
    const stream = client.request({ ':path': '/' })
    assert.equal((await stream.setEncoding('utf8').toArray()).join(''), 'x')
  }
  // Idle, and kept alive by its own pings: nobody asked for a head.
  for (let times = 0; times < 4; times++) {
    await new Promise((resolve) => client.ping((_error, milliseconds) => resolve(milliseconds)))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  assert.equal(client.closed, false)
  client.destroy()
  const slow = await dribble(t, connectTls(h2), 'GET / HTTP/1.1\r\nHost: a\r\n', '')
  assert.match(slow.text, /^HTTP\/1\.1 408 /)
})

test('a head that is cut is told as a refusal, and never for a connection that sent nothing', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP }, FAST)
  const refused: string[] = []
  t.after(subscribe('tenantry:admission:refuse', ({ code, message }) => refused.push(`${code} ${message}`)))
  await Promise.all([dribble(t, connect(port), ''), dribble(t, connect(port), 'GET / HTTP/1.1\r\n')])
  assert.equal(refused.length, 1)
  assert.match(refused[0] as string, /^ERR_READ_TIMEOUT The head of a request came too slowly: 16 bytes in \d+ ms$/)
})

test('while the application does not read, the clock stands still', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP }, FAST)
  await ask(port, 'a.test')
  // More than the window: the relay has to wait for the application, three times as long as a body may take.
  const answer = await ask(port, 'a.test', '/pauses', { method: 'POST', body: new Uint8Array(3 * 1024 * 1024) })
  assert.deepEqual([answer.status, answer.text], [200, String(3 * 1024 * 1024)])
})

test('a client that waits for 100 Continue is not slow before it has got it, and is after', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP }, FAST)
  await ask(port, 'a.test')
  const post = 'POST /late-continue HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n'
  const [good, slow] = await Promise.all([Wire.open(t, port), Wire.open(t, port)])
  for (const wire of [good, slow]) wire.send(post)
  await good.until('100 Continue')
  good.send('body')
  assert.match(await good.rest(), /200 OK[^]*\r\n\r\n[^]*4/)
  assert.match(await slow.rest(), /100 Continue\r\n\r\nHTTP\/1\.1 408 /)
})

test('what is left of a body after its answer is not read for ever', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': "export default (req, res) => res.end('early')" }, FAST)
  await ask(port, 'a.test')
  const head = (host: string): string => `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000\r\n\r\n`
  const [served, refused] = await Promise.all([
    dribble(t, connect(port), head('a.test'), 'x'),
    dribble(t, connect(port), head('nobody.test'), 'x'),
  ])
  assert.match(served.text, /^HTTP\/1\.1 200 /)
  assert.match(refused.text, /^HTTP\/1\.1 421 /)
  for (const { ms } of [served, refused]) assert.ok(ms > 380 && ms < 2000, `it took ${ms} ms`)
  await eventually('nothing is in flight', () => runtime.stats().inFlight === 0)
})

test('HTTP/2 and runtime.fetch: a slow body is 408, and other streams go on', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, FAST)
  const server = http2.createServer(runtime.handler as unknown as Listener)
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => session.destroy())
  const slow = session.request({ ':path': '/', ':authority': 'a.test', ':method': 'POST' })
  slow.on('error', () => {})
  const timer = setInterval(() => { if (!slow.closed) slow.write('x') }, 60)
  t.after(() => clearInterval(timer))
  const [head] = (await once(slow, 'response')) as [http2.IncomingHttpHeaders]
  assert.equal(head[':status'], 408)
  slow.resume()
  await eventually('the stream is over', () => slow.closed)
  const good = session.request({ ':path': '/', ':authority': 'a.test', ':method': 'POST' })
  good.end('body')
  assert.equal((await good.setEncoding('utf8').toArray()).join(''), '4')

  let cancelled = false
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(7)),
    cancel: () => { cancelled = true },
  })
  const response = await runtime.fetch(new Request('http://a.test/', { method: 'POST', body, duplex: 'half' }))
  assert.equal(response.status, 408)
  await eventually('its source is told', () => cancelled)
})

test('5,000 slow connections cost less than 2.5 % of a core, so 10,000 less than 5 %', async (t) => {
  let spent = 0
  const measured: Clock = {
    ...systemClock,
    every: (milliseconds, run) => systemClock.every(milliseconds, () => {
      // CPU and not time, which others' load would add to.
      const before = process.cpuUsage()
      run()
      const { user, system } = process.cpuUsage(before)
      spent += (user + system) / 1000
    }),
  }
  const server = http.createServer((_req, res) => res.end())
  const sweep = new Sweep(measured)
  new HeadDeadlines({ timeout: 60_000, maxTimeout: 0, minRate: 0 }, sweep).protect(server)
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }), 'listening')
  const { port } = server.address() as AddressInfo
  const sockets: net.Socket[] = []
  t.after(() => { for (const socket of sockets) socket.destroy() })
  for (let batch = 0; batch < 50; batch++) {
    await Promise.all(Array.from({ length: 100 }, async (_, index) => {
      const socket = connect(port)
      sockets.push(socket)
      socket.on('error', () => {})
      await once(socket, 'connect')
      // The silent ones cost most: they are looked at in every sweep.
      if (index % 2 === 0) socket.write('GET / HTTP/1.1\r\n')
    }))
  }
  await eventually('all are watched', () => sweep.size === 5000)
  spent = 0
  const started = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 3000))
  const share = spent / (performance.now() - started)
  t.diagnostic(`${(share * 100).toFixed(2)} % of a core`)
  assert.ok(share < 0.025, `${(share * 100).toFixed(2)} % of a core`)
})

test('0 is off, and a server is protected once', () => {
  const server = http.createServer((_req, res) => res.end())
  const sweep = new Sweep(systemClock)
  const off = new HeadDeadlines({ timeout: 0, maxTimeout: 0, minRate: 0 }, sweep)
  const before = server.listenerCount('connection')
  off.protect(server)
  assert.equal(server.listenerCount('connection'), before)
  const on = new HeadDeadlines({ timeout: 1, maxTimeout: 0, minRate: 0 }, sweep)
  on.protect(server)
  on.protect(server)
  assert.equal(server.listenerCount('connection'), before + 1)
})
