import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import WebSocket from 'ws'
import { eventually } from '../behaviour/client.ts'
import { cookiesOf, LARGE, serveFramework } from './serve.ts'

for (const [name, entry] of [['Hono as a fetch export', 'hono/fetch.mjs'], ['Hono with @hono/node-server', 'hono/node.mjs']] as const) {
  test(name, async (t) => {
    const { url, port } = await serveFramework(t, entry)
    const json = async (path: string, init?: RequestInit): Promise<unknown> => (await fetch(url + path, init)).json()

    await t.test('requests have their url, queries, headers and parameters', async () => {
      assert.deepEqual(await json('/?a=1&a=2', { headers: { 'x-own': 'é' } }), {
        url: `${url}/?a=1&a=2`, query: ['1', '2'], own: 'é',
      })
      assert.deepEqual(await json('/api/things/7', { method: 'DELETE' }), { id: '7', method: 'DELETE' })
      assert.deepEqual(await json('/api/things/x'), { nothing: '/api/things/x' })
      const head = await fetch(url, { method: 'HEAD' })
      assert.deepEqual([head.status, await head.text()], [200, ''])
    })

    await t.test('middlewares: CORS, JWT, compression', async () => {
      const headers = { origin: 'https://app.test', 'access-control-request-method': 'PUT' }
      const preflight = await fetch(`${url}/api/things/7`, { method: 'OPTIONS', headers })
      assert.deepEqual(
        [preflight.status, preflight.headers.get('access-control-allow-origin'), preflight.headers.get('access-control-allow-credentials')],
        [204, 'https://app.test', 'true'])
      assert.equal((await fetch(`${url}/private/who`)).status, 401)
      const token = await (await fetch(`${url}/token`)).text()
      assert.equal(await json('/private/who', { headers: { authorization: `Bearer ${token}` } }), 'ada')
      const large = await fetch(`${url}/large`, { headers: { 'accept-encoding': 'gzip' } })
      assert.deepEqual([large.headers.get('content-encoding'), (await large.text()).length], ['gzip', 1_200_000])
    })

    await t.test('bodies are parsed, copied and piped', async () => {
      const made = await fetch(`${url}/json`, { method: 'POST', body: '{"a":"é"}' })
      assert.deepEqual([made.status, await made.json()], [201, { a: 'é' }])
      const form = new FormData()
      form.append('text', 'é')
      form.append('file', new Blob(['content'], { type: 'text/plain' }), 'name.txt')
      assert.deepEqual(await json('/form', { method: 'POST', body: form }), {
        text: 'é', name: 'name.txt', type: 'text/plain', content: 'content',
      })
      for (const path of ['/bytes', '/pipe']) {
        const answer = await fetch(url + path, { method: 'POST', body: new Uint8Array(LARGE) })
        assert.ok(LARGE.equals(Buffer.from(await answer.arrayBuffer())), path)
      }
    })

    await t.test('cookies, redirects and errors', async () => {
      const first = await fetch(`${url}/cookies`)
      assert.deepEqual([await first.json(), first.headers.getSetCookie().length], [[null, null], 2])
      assert.deepEqual(await json('/cookies', { headers: { cookie: cookiesOf(first) } }), ['ü', 'mine'])
      const redirect = await fetch(`${url}/redirect`, { redirect: 'manual' })
      assert.deepEqual([redirect.status, redirect.headers.get('location')], [307, '/'])
      const teapot = await fetch(`${url}/throw`)
      assert.deepEqual([teapot.status, await teapot.text()], [418, 'a teapot'])
      assert.deepEqual(await json('/crash'), { error: 'on purpose' })
    })

    await t.test('streams arrive; events arrive one by one, and end with their client', async () => {
      assert.equal(await (await fetch(`${url}/stream`)).text(), 'one two three')
      const client = new AbortController()
      const events = await fetch(`${url}/events`, { signal: client.signal })
      let seen = ''
      for await (const part of events.body!.pipeThrough(new TextDecoderStream())) {
        seen += part
        if (seen.includes('id: 3\n')) break
      }
      assert.match(seen, /^event: tick\ndata: number 1\nid: 1\n\nevent: tick\n/)
      client.abort()
      await eventually('the application sees it', async () => (await json('/aborted') as { aborted: number }).aborted === 1)
    })

    if (entry !== 'hono/node.mjs') return

    await t.test('the node adapter shows the connection, serves files and speaks WebSocket', async (t) => {
      assert.equal(await json('/who'), '127.0.0.1')
      assert.deepEqual(await json('/incoming'), ['GET', false])
      const file = await fetch(`${url}/files/fetch.mjs`)
      assert.deepEqual([file.headers.get('content-type'), /export default app/.test(await file.text())], ['text/javascript; charset=utf-8', true])
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`)
      t.after(() => socket.terminate())
      assert.equal(String((await once(socket, 'message'))[0]), 'welcome')
      socket.send('back and forth')
      assert.equal(String((await once(socket, 'message'))[0]), 'back and forth')
      const closed = once(socket, 'close')
      socket.close(1000, 'done')
      assert.equal((await closed)[0], 1000)
    })
  })
}
