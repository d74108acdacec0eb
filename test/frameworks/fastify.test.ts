import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import WebSocket from 'ws'
import { eventually, exchange } from '../behaviour/client.ts'
import { LARGE, serveFramework } from './serve.ts'

test('Fastify 5', async (t) => {
  const { url, port, log } = await serveFramework(t, 'fastify.mjs')
  const json = async (path: string, init?: RequestInit): Promise<unknown> => (await fetch(url + path, init)).json()

  await t.test('hooks run in their order and see the client', async () => {
    const answer = await fetch(url, { headers: { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https', 'x-id': 'mine' } })
    assert.equal(answer.headers.get('x-hooks'), 'onSend')
    assert.deepEqual(await answer.json(), { greeting: 'hello', visitor: '203.0.113.7', id: 'mine', protocol: 'https' })
    assert.equal((await fetch(`${url}/refused`)).status, 401)
    const order = await json('/order') as unknown[]
    assert.deepEqual(order.slice(0, 2), [['/', 200, true], ['/refused', 401, true]])
  })

  await t.test('its own log lines pass through', async () => {
    await eventually('a request in the log', () => log.some((line) => JSON.stringify(line).includes('request completed')))
  })

  await t.test('it believes that it listens where it asked to', async () => {
    assert.deepEqual(await json('/address'), { address: '0.0.0.0', family: 'IPv4', port: 3000 })
  })

  await t.test('schemas check what comes and shape what goes', async () => {
    assert.deepEqual(await json('/pages?page=3'), { page: 3 })
    assert.equal((await fetch(`${url}/pages?page=0`)).status, 400)
    const post = (body: string, type = 'application/json'): Promise<Response> =>
      fetch(`${url}/echo`, { method: 'POST', headers: { 'content-type': type }, body })
    assert.deepEqual(await (await post('{"a":"é"}')).json(), { a: 'é' })
    assert.equal((await post('{')).status, 400)
    assert.equal((await post('<a/>', 'application/xml')).status, 415)
    assert.equal((await post(JSON.stringify('x'.repeat(200_000)))).status, 413)
    const lines = await fetch(`${url}/lines`, { method: 'POST', headers: { 'content-type': 'application/x-lines' }, body: 'a\nb' })
    assert.equal(await lines.text(), 'a\nb')
  })

  await t.test('replies are streams, responses, buffers and raw answers', async () => {
    assert.equal(await (await fetch(`${url}/stream`)).text(), 'one two three')
    const response = await fetch(`${url}/web-stream`)
    assert.deepEqual([response.status, response.headers.get('x-own'), await response.text()], [202, '1', 'from a response'])
    assert.ok(LARGE.equals(Buffer.from(await (await fetch(`${url}/large`)).arrayBuffer())))
    assert.equal(await (await fetch(`${url}/hijacked`)).text(), 'raw')
    assert.deepEqual(await json('/fails'), { statusCode: 409, error: 'Conflict', message: 'on purpose' })
    await assert.rejects(async () => await (await fetch(`${url}/broken-stream`)).text(), 'a stream that fails is not finished')
    const raw = await exchange(t, port, 'GET /trailers HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
    assert.match(raw, /\r\nTrailer: x-sum\r\n/i)
    assert.match(raw, /\r\n0\r\nx-sum: 42\r\n\r\n$/)
  })

  await t.test('a client that leaves is an aborted request', async () => {
    await assert.rejects(fetch(`${url}/never`, { signal: AbortSignal.timeout(50) }))
    await eventually('the hook', async () => JSON.stringify(await json('/order')).includes('["/never","aborted"]'))
  })

  await t.test('@fastify/websocket: hooks guard the upgrade, messages come back as they went', async (t) => {
    const refused = new WebSocket(`ws://127.0.0.1:${port}/private/socket`)
    const [, { statusCode }] = (await once(refused, 'unexpected-response')) as [unknown, { statusCode: number }]
    refused.on('error', () => {}).terminate()
    assert.equal(statusCode, 401)
    const socket = new WebSocket(`ws://127.0.0.1:${port}/private/socket`, { headers: { authorization: 'me' } })
    t.after(() => socket.terminate())
    assert.equal(String((await once(socket, 'message'))[0]), 'welcome 127.0.0.1')
    for (const message of ['text é', Buffer.alloc(90_000, 7)]) {
      socket.send(message)
      const [data, binary] = (await once(socket, 'message')) as [Buffer, boolean]
      assert.deepEqual([data.equals(Buffer.from(message)), binary], [true, typeof message !== 'string'])
    }
    socket.send(Buffer.alloc(100_001))
    assert.equal((await once(socket, 'close'))[0], 1009)
  })
})

test('Fastify 5: when its context drains, the request under way is answered and the close hooks run', async (t) => {
  const { url, runtime, log } = await serveFramework(t, 'fastify.mjs')
  await fetch(url)
  const slow = fetch(`${url}/slow`)
  await eventually('the slow request', () => runtime.stats().inFlight === 1)
  const closing = runtime.close()
  assert.deepEqual(await (await slow).json(), { slow: true })
  await closing
  assert.deepEqual(log.map(({ msg }) => msg).filter((line) => /^(preClose|onClose|closed)$/.test(String(line))), ['preClose', 'onClose', 'closed'])
})
