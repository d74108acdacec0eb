import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from '../behaviour/client.ts'
import { cookiesOf, LARGE, serveFramework } from './serve.ts'

test('Koa', async (t) => {
  const { url, port } = await serveFramework(t, 'koa.mjs')
  const json = async (path: string, init?: RequestInit): Promise<unknown> => (await fetch(url + path, init)).json()

  await t.test('a context knows the client, its host and its query', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.7, 203.0.113.8', 'x-forwarded-proto': 'https' }
    assert.deepEqual(await json('/json?a=1&a=2', { headers }), {
      ip: '203.0.113.7', ips: ['203.0.113.7', '203.0.113.8'], protocol: 'https', host: `127.0.0.1:${port}`,
      query: { a: ['1', '2'] }, href: `https://127.0.0.1:${port}/json?a=1&a=2`,
    })
    assert.equal((await json('/json') as { ip: string }).ip, '127.0.0.1')
  })

  await t.test('bodies are text, bytes, streams, files, blobs, responses and nothing', async () => {
    const text = await fetch(`${url}/text`)
    assert.match(text.headers.get('x-response-time') ?? '', /^[\d.]+ms$/)
    assert.deepEqual([text.headers.get('content-length'), await text.text()], ['7', 'text é'])
    assert.ok(LARGE.equals(Buffer.from(await (await fetch(`${url}/buffer`)).arrayBuffer())))
    assert.equal(await (await fetch(`${url}/stream`)).text(), 'one two three')
    assert.match(await (await fetch(`${url}/file`)).text(), /What people do with Koa 3/)
    assert.equal(await (await fetch(`${url}/blob`)).text(), 'from a blob')
    const response = await fetch(`${url}/response`)
    assert.deepEqual([response.status, response.headers.get('x-own'), await response.text()], [202, '1', 'from a response'])
    const nothing = await fetch(`${url}/nothing`)
    assert.deepEqual([nothing.status, nothing.headers.get('content-length'), await nothing.text()], [204, null, ''])
    const head = await fetch(`${url}/text`, { method: 'HEAD' })
    assert.deepEqual([head.headers.get('content-length'), await head.text()], ['7', ''])
    assert.equal(await (await fetch(`${url}/bypass`)).text(), 'bypassed')
    assert.equal((await fetch(`${url}/nowhere`)).status, 404)
  })

  await t.test('signed cookies, redirects and freshness', async () => {
    const first = await fetch(`${url}/cookies`)
    const cookie = cookiesOf(first)
    assert.match(cookie, /^visits=1; visits\.sig=/)
    assert.deepEqual([await first.json(), await json('/cookies', { headers: { cookie } })], [{ seen: null }, { seen: '1' }])
    assert.deepEqual(await json('/cookies', { headers: { cookie: cookie.replace('visits=1', 'visits=9') } }), { seen: null })
    const redirect = await fetch(`${url}/redirect`, { redirect: 'manual' })
    assert.deepEqual([redirect.status, redirect.headers.get('location')], [302, '/text'])
    const fresh = await ask(port, '127.0.0.1', '/etag', { headers: { 'if-none-match': '"fixed"' } })
    assert.deepEqual([fresh.status, fresh.text], [304, ''])
    assert.equal(await (await fetch(`${url}/etag`)).text(), 'fresh')
  })

  await t.test('errors are answered once and reported', async () => {
    assert.deepEqual(await json('/throw'), { error: 'pay' })
    assert.equal((await fetch(`${url}/crash`)).status, 500)
    // Koa 3 has sent the head by then, behind a server of its own as well.
    await assert.rejects(fetch(`${url}/missing-file`))
    const errors = await json('/errors') as string[]
    assert.equal(errors[0], 'on purpose')
    assert.match(errors[1] ?? '', /ENOENT/)
  })

  await t.test('uploads arrive whole, and a client that leaves is seen', async () => {
    const body = new Uint8Array(LARGE)
    assert.deepEqual(await json('/upload', { method: 'POST', body, headers: { 'content-type': 'application/octet-stream' } }), {
      length: LARGE.length, type: 'application/octet-stream', announced: LARGE.length,
    })
    await assert.rejects(fetch(`${url}/never`, { signal: AbortSignal.timeout(50) }))
    await eventually('the application sees it', async () => (await json('/aborted') as { aborted: number }).aborted === 1)
  })
})
