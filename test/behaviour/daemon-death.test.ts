import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import { test } from 'node:test'
import { subscribe } from '../../src/events.ts'
import { until } from '../wire/ends.ts'
import { ask, askJson, Wire } from './client.ts'
import { CLIENTS } from './http-clients.ts'
import { openHouse, openRuntime } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { EventPayloads } from '../../src/events.ts'
import type { Runtime } from '../../src/runtime.ts'

const APP = `
export default (req, res) => {
  const { pathname } = new URL(req.url, 'http://a.test')
  if (pathname === '/chunked') return void res.write('begun')
  if (pathname === '/length') return void res.writeHead(200, { 'content-length': '1000' }).write('begun')
  if (pathname === '/hints') return void res.writeEarlyHints({ link: '</a.css>; rel=preload' })
  if (pathname === '/slow') return void setTimeout(() => res.end('slow ' + req.method), 400)
  res.end(JSON.stringify({ pid: process.pid }))
}`

const POOL = {
  // On the hand-off, a connection breaks off with its daemon.
  lane: 'relay',
  processGroup: 'pool', processGroups: { pool: {} },
} as const

function daemonOf(runtime: Runtime): { pid: number; inFlight: number } {
  const process = runtime.stats().processGroups[0]?.processes[0]
  return { pid: process?.pid ?? 0, inFlight: process?.inFlight ?? 0 }
}

/** Kills the daemon as soon as so many requests are in it; its number. */
async function killAt(runtime: Runtime, inFlight = 1): Promise<number> {
  await until(() => daemonOf(runtime).inFlight === inFlight && daemonOf(runtime).pid > 0)
  const { pid } = daemonOf(runtime)
  process.kill(pid, 'SIGKILL')
  return pid
}

interface Seen {
  readonly starts: number[]
  readonly ends: number[]
  readonly errors: EventPayloads['tenantry:request:error'][]
}

function watchRequests(t: TestContext): Seen {
  const seen: Seen = { starts: [], ends: [], errors: [] }
  t.after(subscribe('tenantry:request:start', ({ requestId }) => seen.starts.push(requestId)))
  t.after(subscribe('tenantry:request:finish', ({ requestId }) => seen.ends.push(requestId)))
  t.after(subscribe('tenantry:request:error', (payload) => {
    seen.errors.push(payload)
    seen.ends.push(payload.requestId)
  }))
  return seen
}

for (const [path, body] of [['/chunked', '5\r\nbegun\r\n'], ['/length', 'begun']] as const) {
  test(`an answer whose daemon is killed ends where it was, and the event says truncated: ${path}`, async (t) => {
    const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
    await askJson(port, 'a.test')
    const { errors } = watchRequests(t)
    const wire = await Wire.open(t, port)
    wire.send(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    await wire.until('begun')
    await killAt(runtime)
    const text = await wire.rest()
    assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4), body)
    assert.deepEqual(errors.map(({ code, truncated }) => [code, truncated]), [['ERR_DAEMON_EXITED', true]])
  })
}

for (const [name, report] of Object.entries(CLIENTS)) {
  test(`a client knows that its answer broke off with its daemon: ${name}`, async (t) => {
    const { port, runtime } = await openHouse(t, { 'a.test': APP, '127.0.0.1': APP }, POOL)
    for (const path of ['/chunked', '/length']) {
      const [said] = await Promise.all([report(port, path), until(() => daemonOf(runtime).inFlight === 1).then(async () => {
        // Its first bytes are on their way.
        await new Promise((resolve) => setTimeout(resolve, 200))
        await killAt(runtime)
      }).catch(() => {})])
      if (said === undefined) return t.skip(`${name} is not there`)
      assert.equal(said, 'broken', path)
    }
  })
}

test('HTTP/2: what was begun is reset, what was not is run again, and the session goes on', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, POOL)
  const server = http2.createServer(runtime.handler as unknown as Parameters<typeof http2.createServer>[0])
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => session.destroy())
  const get = (path: string, method = 'GET'): http2.ClientHttp2Stream =>
    session.request({ ':path': path, ':authority': 'a.test', ':method': method }).setEncoding('utf8')
  assert.match((await get('/').toArray()).join(''), /pid/)
  const begun = get('/length')
  begun.on('error', () => {})
  await once(begun, 'data')
  const slow = get('/slow')
  const head = get('/slow', 'HEAD')
  head.resume()
  const headAnswer = once(head, 'response') as Promise<[http2.IncomingHttpHeaders]>
  await killAt(runtime, 3)
  await new Promise((resolve) => begun.once('close', resolve))
  assert.equal(begun.rstCode, http2.constants.NGHTTP2_INTERNAL_ERROR)
  assert.equal((await slow.toArray()).join(''), 'slow GET')
  assert.equal((await headAnswer)[0][':status'], 200)
})

test('requests of one connection are answered in their order, each once, whatever their daemon does', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
  await askJson(port, 'a.test')
  const seen = watchRequests(t)
  const wire = await Wire.open(t, port)
  wire.send('GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\nHEAD /slow HTTP/1.1\r\nHost: a.test\r\n\r\nPUT /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n')
  await killAt(runtime, 3)
  await wire.until('slow PUT')
  wire.send('GET /slow HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
  const text = await wire.rest()
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 4)
  assert.deepEqual(text.match(/slow (GET|HEAD|PUT)/g), ['slow GET', 'slow PUT', 'slow GET'])
  assert.deepEqual(seen.ends.toSorted((a, b) => a - b), seen.starts, 'each run has one end')
  assert.deepEqual(seen.errors.map(({ code, truncated }) => [code, truncated]), Array.from({ length: 3 }, () => ['ERR_DAEMON_EXITED', false]))
})

test('a keep-alive client does not hear of it at all', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const before = await askJson(port, 'a.test', '/', { agent })
  const slow = ask(port, 'a.test', '/slow', { agent })
  assert.equal(await killAt(runtime), before['pid'])
  assert.equal((await slow).text, 'slow GET')
  assert.notEqual((await askJson(port, 'a.test', '/', { agent }))['pid'], before['pid'])
})

test('what is not safe to repeat, or has a body, is not run again', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
  await askJson(port, 'a.test')
  const asked = [
    ask(port, 'a.test', '/slow', { method: 'POST', headers: { 'content-length': 0 } }),
    ask(port, 'a.test', '/slow', { method: 'PATCH', headers: { 'content-length': 0 } }),
    ask(port, 'a.test', '/slow', { method: 'PUT', body: 'x' }),
  ]
  await killAt(runtime, 3)
  assert.deepEqual((await Promise.all(asked)).map(({ status }) => status), [502, 502, 502])
})

test('an early hint is no answer: the request is run again behind it', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
  await askJson(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /hints HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('103 Early Hints')
  const first = await killAt(runtime)
  await until(() => daemonOf(runtime).inFlight === 1 && daemonOf(runtime).pid !== first)
  await killAt(runtime)
  await wire.until('502 Bad Gateway')
})

test('runtime.fetch: a request of which nothing was answered is run again, once; what was begun is an errored body', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, POOL)
  await runtime.fetch(new Request('http://a.test/'))
  const seen = watchRequests(t)
  const slow = runtime.fetch(new Request('http://a.test/slow'))
  await killAt(runtime)
  assert.equal(await (await slow).text(), 'slow GET')
  assert.deepEqual(seen.ends.toSorted((a, b) => a - b), seen.starts)

  const twice = runtime.fetch(new Request('http://a.test/slow'))
  const first = await killAt(runtime)
  await until(() => daemonOf(runtime).inFlight === 1 && daemonOf(runtime).pid !== first)
  await killAt(runtime)
  assert.equal((await twice).status, 502)

  const begun = await runtime.fetch(new Request('http://a.test/length'))
  await killAt(runtime)
  await assert.rejects(begun.text(), { code: 'ERR_DAEMON_EXITED' })

  const posted = runtime.fetch(new Request('http://a.test/slow', { method: 'POST', body: 'x' }))
  await killAt(runtime)
  assert.equal((await posted).status, 502)
})

test('a client that leaves before its request is run again is not served twice', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, POOL)
  await runtime.fetch(new Request('http://a.test/'))
  const leaving = new AbortController()
  const slow = runtime.fetch(new Request('http://a.test/slow', { signal: leaving.signal }))
  await killAt(runtime)
  await until(() => runtime.stats().processGroups[0]?.processes[0]?.queued === 1 || daemonOf(runtime).inFlight === 1)
  leaving.abort(new Error('left'))
  await assert.rejects(slow, /left/)
  await until(() => daemonOf(runtime).inFlight === 0)
})

test('an upgraded connection ends with its daemon, and the next one finds another', async (t) => {
  const upgrade = `
    import http from 'node:http'
    const server = http.createServer().listen(3000)
    server.on('upgrade', (req, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); socket.pipe(socket) })`
  const { port, runtime } = await openHouse(t, { 'a.test': upgrade }, POOL)
  for (const word of ['first', 'second']) {
    const wire = await Wire.open(t, port)
    wire.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    await wire.until('\r\n\r\n')
    wire.send(word)
    await wire.until(word)
    await killAt(runtime)
    await wire.rest()
  }
})
