import { test } from 'node:test'
import assert from 'node:assert/strict'
import { until } from '../wire/ends.ts'
import { bodyOf, connect, exchange, get, post, serveSource } from './front.ts'
import { record } from '../context/start.ts'

test('a fetch handler sees method, url, headers and body, and its answer keeps status and fields', async (t) => {
  const { port } = await serveSource(t, `export default { async fetch(request) {
    const seen = { method: request.method, url: request.url, header: request.headers.get('x-a'), body: await request.text() }
    return Response.json(seen, { status: 201, statusText: 'Made', headers: [['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2'], ['X-B', 'c']] })
  } }`)
  const answer = await exchange(t, port, post('/p?q=1', 'the body', 'X-A: 1\r\nX-A: 2\r\n'))
  assert.match(answer, /^HTTP\/1\.1 201 Made\r\n/)
  assert.equal(answer.match(/^set-cookie: [ab]=[12]\r$/gim)?.length, 2)
  assert.match(answer, /^x-b: c\r$/im)
  assert.match(answer, /\{"method":"POST","url":"http:\/\/a\.test\/p\?q=1","header":"1, 2","body":"the body"\}/)
})

test('targets that look like other hosts stay paths', async (t) => {
  const { port } = await serveSource(t, 'export default { fetch: (request) => new Response(request.url) }')
  for (const target of ['//evil.test/x', '/\\evil.test', '/a//b', '/@evil.test', '/%2e%2e/x']) {
    assert.match(bodyOf(await exchange(t, port, get(target))), /http:\/\/a\.test\//, target)
  }
})

test('a fetch handler that throws answers 500 without its reason, and the context goes on', async (t) => {
  const output = record(t, 'tenantry:context:output')
  const { port, context } = await serveSource(t, `export default { fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/throw') throw new Error('secret reason')
    if (pathname === '/reject') return Promise.reject(new Error('secret reason'))
    if (pathname === '/nothing') return undefined
    if (pathname === '/network') return Response.error()
    return new Response('fine')
  } }`)
  for (const path of ['/throw', '/reject', '/nothing']) {
    const answer = await exchange(t, port, get(path))
    assert.match(answer, /^HTTP\/1\.1 500 /)
    assert.doesNotMatch(answer, /secret/)
  }
  assert.equal(await exchange(t, port, get('/network')), '')
  assert.match(await exchange(t, port, get('/')), /fine/)
  await until(() => output.some(({ contextId, line, stream }) => contextId === context.id && stream === 'stderr' && line.includes('secret reason')))
})

test('a body that fails half-way is a truncated answer', async (t) => {
  const { port } = await serveSource(t, `export default { fetch: () => {
    let count = 0
    return new Response(new ReadableStream({ async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      if (++count === 3) controller.error(new Error('half-way')); else controller.enqueue(new TextEncoder().encode('part'))
    } }))
  } }`)
  const answer = await exchange(t, port, get('/'))
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(answer, /part/)
  assert.doesNotMatch(answer, /\r\n0\r\n\r\n$/)
})

test('a client that leaves aborts the request and cancels a body that waits for its source', async (t) => {
  const output = record(t, 'tenantry:context:output')
  const { port, context } = await serveSource(t, `export default { fetch(request) {
    request.signal.addEventListener('abort', () => console.log('aborted'))
    return new Response(new ReadableStream({
      start(controller) { controller.enqueue(new TextEncoder().encode('first')) },
      cancel() { console.log('cancelled') },
    }))
  } }`)
  const client = await connect(t, port)
  client.socket.write(get('/'))
  await client.until('first')
  client.socket.destroy()
  const lines = (): string[] => output.filter(({ contextId }) => contextId === context.id).map(({ line }) => line)
  await until(() => lines().length === 2)
  assert.deepEqual(lines().sort(), ['aborted', 'cancelled'])
})

test('the signal of a request that was answered is never aborted', async (t) => {
  const { port } = await serveSource(t, `let before
    export default { fetch(request) {
      const aborted = before?.aborted ?? null
      before = request.signal
      return new Response(String(aborted))
    } }`)
  await exchange(t, port, get('/'))
  assert.equal(bodyOf(await exchange(t, port, get('/'))), '5\r\nfalse\r\n0\r\n\r\n')
})

test('bodies stream both ways: what came in goes out before the request has ended', async (t) => {
  const { port } = await serveSource(t, 'export default { fetch: (request) => new Response(request.body) }')
  const client = await connect(t, port)
  client.socket.write('POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\n')
  await client.until('one')
  client.socket.write('3\r\ntwo\r\n0\r\n\r\n')
  const all = await client.closed
  assert.match(all, /one[\s\S]*two[\s\S]*0\r\n\r\n$/)
})

test('204, 304 and answers to HEAD have no body', async (t) => {
  const { port } = await serveSource(t, `export default { fetch(request) {
    const status = Number(new URL(request.url).pathname.slice(1))
    return status === 200 ? new Response('a body') : new Response(null, { status })
  } }`)
  assert.equal(bodyOf(await exchange(t, port, get('/204'))), '')
  assert.equal(bodyOf(await exchange(t, port, get('/304'))), '')
  assert.equal(bodyOf(await exchange(t, port, get('/200', '', 'HEAD'))), '')
})

test('an environment and waitUntil come with the request, as on edge runtimes', async (t) => {
  const { port } = await serveSource(t, `export default { fetch: (request, env, context) =>
    new Response([env.NAME, typeof context.waitUntil, typeof context.passThroughOnException].join()) }`, { env: { NAME: 'n' } })
  assert.match(await exchange(t, port, get('/')), /n,function,function/)
})
