import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from '../behaviour/client.ts'
import { openHouse, openRuntime } from '../behaviour/house.ts'
import { TenantryError } from '../../src/errors.ts'
import type { Runtime } from '../../src/runtime.ts'
import type { TestContext } from 'node:test'

const APP = `
let gone = 0
const routes = {
  '/head': (req, res) => res.end(JSON.stringify({
    method: req.method, url: req.url, headers: req.headers, version: req.httpVersion,
    address: req.socket.remoteAddress, port: req.socket.remotePort, encrypted: req.socket.encrypted === true,
  })),
  '/echo': (req, res) => req.pipe(res),
  '/cookies': (req, res) => res.writeHead(201, 'Made', ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-Own', 'caf\\xe9']).end('x'),
  '/hop': (req, res) => { res.setHeader('Connection', 'x-hop'); res.setHeader('X-Hop', '1'); res.write('a'); res.end('b') },
  '/204': (req, res) => res.writeHead(204).end(),
  '/999': (req, res) => res.writeHead(999).end('x'),
  '/short': (req, res) => { res.setHeader('Content-Length', 10); res.write('short'); setTimeout(() => res.end(), 20) },
  '/cut': (req, res) => { res.write('part'); setTimeout(() => res.destroy(), 20) },
  '/destroy': (req, res) => res.destroy(),
  '/hang': (req, res) => { res.on('close', () => gone++) },
  '/endless': (req, res) => {
    res.on('close', () => gone++)
    const chunk = Buffer.alloc(50_000)
    let sent = 0
    const more = () => { while (!res.destroyed && res.write(chunk)) sent += chunk.length; }
    res.on('drain', more)
    more()
    sentBytes = () => sent
  },
  '/early': (req, res) => { res.end('no, thank you') },
  '/crash': () => { setImmediate(() => { throw new Error('on purpose') }) },
  '/sent': (req, res) => res.end(String(sentBytes())),
  '/gone': (req, res) => res.end(String(gone)),
}
let sentBytes = () => 0
export default (req, res) => (routes[req.url.split('?')[0]] ?? routes['/head'])(req, res)
`

async function open(t: TestContext): Promise<Runtime> {
  const hold = setInterval(() => {}, 1000)
  t.after(() => clearInterval(hold))
  return (await openRuntime(t, { 'a.test': APP })).runtime
}

/** Nothing of a finished request is held. */
const idle = (runtime: Runtime): Promise<void> => eventually('nothing is in flight', () => runtime.stats().inFlight === 0)

test('runtime.fetch: the application sees an ordinary request with its true client', async (t) => {
  const { fetch } = await open(t)
  const request = new Request('https://a.test:8443/head?x=%20y', { headers: { 'X-Own': '1', Connection: 'x-hop', 'X-Hop': '1' } })
  const response = await fetch(request, { remoteAddress: '192.0.2.7', remotePort: 99, localPort: 8443 })
  assert.equal(response.status, 200)
  const seen = await response.json() as Record<string, unknown>
  assert.deepEqual(seen, {
    method: 'GET', url: '/head?x=%20y', headers: { host: 'a.test:8443', 'x-own': '1' }, version: '1.1',
    address: '192.0.2.7', port: 99, encrypted: true,
  })
})

test('runtime.fetch: status, message and fields arrive, Set-Cookie unjoined, what belongs to a connection not', async (t) => {
  const runtime = await open(t)
  const response = await runtime.fetch(new Request('http://a.test/cookies'))
  assert.deepEqual([response.status, response.statusText, response.headers.get('x-own')], [201, 'Made', 'caf\xe9'])
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
  const hop = await runtime.fetch(new Request('http://a.test/hop'))
  assert.deepEqual([...hop.headers.keys()], ['date'])
  assert.equal(await hop.text(), 'ab')
  for (const [path, method, status] of [['/204', 'GET', 204], ['/cookies', 'HEAD', 201]] as const) {
    const empty = await runtime.fetch(new Request(`http://a.test${path}`, { method }))
    assert.deepEqual([empty.status, empty.body], [status, null])
  }
  await idle(runtime)
})

test('runtime.fetch: bodies stream both ways at once', async (t) => {
  const runtime = await open(t)
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const response = await Promise.all([
    runtime.fetch(new Request('http://a.test/echo', { method: 'POST', body: readable, duplex: 'half' })),
    writer.write(Buffer.from('first')),
  ]).then(([answer]) => answer)
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  assert.equal(Buffer.from((await reader.read()).value as Uint8Array).toString(), 'first')
  await writer.write(Buffer.from('second'))
  assert.equal(Buffer.from((await reader.read()).value as Uint8Array).toString(), 'second')
  await writer.close()
  assert.equal((await reader.read()).done, true)
  await idle(runtime)
})

test('runtime.fetch: a body of any size comes back whole', async (t) => {
  const runtime = await open(t)
  for (const size of [0, 1, 70_000, 3_000_000]) {
    const sent = Buffer.alloc(size, 'q')
    const response = await runtime.fetch(new Request('http://a.test/echo', { method: 'PUT', body: sent }))
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(sent), `${size} bytes`)
  }
  await idle(runtime)
})

test('runtime.fetch: a Response that is not read stops the application at its window', async (t) => {
  const runtime = await open(t)
  const response = await runtime.fetch(new Request('http://a.test/endless'))
  let before = -1
  const sent = async (): Promise<number> => Number(await (await runtime.fetch(new Request('http://a.test/sent'))).text())
  await eventually('it stands still', async () => {
    const now = await sent()
    const still = now === before
    before = now
    return still
  })
  assert.ok(before > 0 && before < 2_000_000, `${before} bytes were sent to nobody`)
  await response.body?.cancel()
  await eventually('the application hears of it', async () =>
    (await (await runtime.fetch(new Request('http://a.test/gone'))).text()) === '1')
  await idle(runtime)
})

test('runtime.fetch: an abort is seen by both sides, before the answer and in the middle of it', async (t) => {
  const runtime = await open(t)
  const reason = new Error('changed my mind')
  for (const [index, path] of ['/hang', '/endless'].entries()) {
    const controller = new AbortController()
    const request = new Request(`http://a.test${path}`, { signal: controller.signal })
    const answer = runtime.fetch(request)
    if (path === '/hang') {
      await eventually('it is in flight', () => runtime.stats().inFlight === 1)
      controller.abort(reason)
      await assert.rejects(answer, reason)
    } else {
      const response = await answer
      controller.abort(reason)
      await assert.rejects(response.arrayBuffer(), reason)
    }
    await eventually('the application hears of it', async () =>
      (await (await runtime.fetch(new Request('http://a.test/gone'))).text()) === String(index + 1))
    assert.equal(getEventListeners(request.signal, 'abort').length, 0)
  }
  const early = new Request('http://a.test/head', { signal: AbortSignal.abort(reason) })
  await assert.rejects(runtime.fetch(early), reason)
  await idle(runtime)
})

test('runtime.fetch: an answer that breaks off is an errored body, never a shorter one', async (t) => {
  const runtime = await open(t)
  for (const [path, code] of [['/cut', 'ERR_CONTEXT_EXITED'], ['/short', 'ERR_PROTOCOL']] as const) {
    const response = await runtime.fetch(new Request(`http://a.test${path}`))
    assert.equal(response.status, 200)
    await assert.rejects(response.text(), (error) => error instanceof TenantryError && error.code === code)
  }
  await assert.rejects(runtime.fetch(new Request('http://a.test/destroy')), { code: 'ERR_CONTEXT_EXITED' })
  assert.equal((await runtime.fetch(new Request('http://a.test/999'))).status, 502)
  await idle(runtime)
})

test('runtime.fetch: an early answer stops the upload, and tells its source', async (t) => {
  const runtime = await open(t)
  let cancelled = false
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
    cancel: () => { cancelled = true },
  })
  const response = await runtime.fetch(new Request('http://a.test/early', { method: 'POST', body, duplex: 'half' }))
  assert.equal(await response.text(), 'no, thank you')
  await eventually('the source is told', () => cancelled)
  await idle(runtime)
})

test('runtime.fetch: an upload that fails is a client that leaves', async (t) => {
  const runtime = await open(t)
  const broken = new Error('disk on fire')
  const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(broken) })
  await assert.rejects(runtime.fetch(new Request('http://a.test/hang', { method: 'POST', body, duplex: 'half' })), broken)
  await idle(runtime)
})

test('runtime.fetch: every refusal is a Response with the same text as a server gives', async (t) => {
  const { runtime, port } = await openHouse(t, { 'a.test': APP }, { allowedHosts: ['a.test', 'empty.test'], bodyLimit: 10 })
  for (const [host, path, status] of [['stranger.test', '/', 421], ['empty.test', '/', 404]] as const) {
    for (const accept of ['*/*', 'application/problem+json']) {
      const served = await ask(port, host, path, { headers: { accept } })
      const response = await runtime.fetch(new Request(`http://${host}${path}`, { headers: { accept } }))
      assert.deepEqual([response.status, await response.text()], [served.status, served.text])
      assert.equal(response.status, status)
      for (const name of ['content-type', 'content-length', 'cache-control']) {
        assert.equal(response.headers.get(name), served.headers[name], name)
      }
    }
  }
  // The accepting port is a part of the group's name: with it, the context is the one that has answered before.
  assert.equal((await ask(port, 'a.test')).status, 200)
  const crashed = await runtime.fetch(new Request('http://a.test/crash'), { localPort: port })
  assert.deepEqual([crashed.status, (await crashed.text()).split('\n')[0]], [502, '502 Bad Gateway'])
  await eventually('it serves again', async () => (await ask(port, 'a.test')).status === 200)
  const differs = await runtime.fetch(new Request('http://a.test/', { headers: { host: 'b.test' } }))
  assert.equal(differs.status, 400)
  const long = await runtime.fetch(new Request('http://a.test/echo', { method: 'POST', body: 'more than ten bytes' }), { localPort: port })
  assert.equal(long.status, 413)
  const used = new Request('http://a.test/echo', { method: 'POST', body: 'x' })
  await used.text()
  assert.equal((await runtime.fetch(used, { localPort: port })).status, 500)
  await runtime.close()
  assert.equal((await runtime.fetch(new Request('http://a.test/'))).status, 503)
})
