import { test } from 'node:test'
import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import { ask } from '../behaviour/client.ts'
import { cookiesOf, LARGE, serveFramework } from './serve.ts'

// Express 4 and 5 differ in what they answer at the edges, and here in nothing.
for (const [name, module] of [['Express 5', 'express'], ['Express 4', 'express4']] as const) {
  test(name, async (t) => {
    const { url, port } = await serveFramework(t, 'express/app.cjs', { env: { EXPRESS: module } })
    const post = (path: string, type: string, body: string | Uint8Array<ArrayBuffer>, headers = {}): Promise<Response> =>
      fetch(url + path, { method: 'POST', headers: { 'content-type': type, ...headers }, body })

    await t.test('static files have a type, a validator, a lifetime and ranges', async () => {
      const whole = await fetch(`${url}/static/style.css`)
      assert.deepEqual(
        [whole.status, whole.headers.get('content-type')?.toLowerCase(), whole.headers.get('cache-control'), await whole.text()],
        [200, 'text/css; charset=utf-8', 'public, max-age=3600', 'body { color: red }\n'])
      const etag = whole.headers.get('etag') as string
      // Not with fetch(), which adds "cache-control: no-cache" to a condition of ours.
      const again = await ask(port, '127.0.0.1', '/static/style.css', { headers: { 'if-none-match': etag } })
      assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag])
      const part = await fetch(`${url}/static/style.css`, { headers: { range: 'bytes=7-11' } })
      assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, 'bytes 7-11/20', 'color'])
      const head = await fetch(`${url}/static/style.css`, { method: 'HEAD' })
      assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '20', ''])
      assert.equal((await fetch(`${url}/static/..%2fapp.cjs`)).ok, false)
      assert.equal((await fetch(`${url}/static/none.css`)).status, 404)
    })

    await t.test('a session lives by its cookie, and dies when it is destroyed', async () => {
      const first = await fetch(`${url}/session`)
      const cookie = cookiesOf(first)
      assert.match(cookie, /^sid=/)
      assert.deepEqual(await first.json(), { views: 1 })
      const visit = async (): Promise<unknown> => (await fetch(`${url}/session`, { headers: { cookie } })).json()
      assert.deepEqual(await visit(), { views: 2 })
      assert.deepEqual(await (await fetch(`${url}/session`)).json(), { views: 1 }, 'somebody else has a session of his own')
      const gone = await fetch(`${url}/logout`, { headers: { cookie }, redirect: 'manual' })
      assert.deepEqual([gone.status, gone.headers.get('location')], [303, '/session'])
      assert.deepEqual(await visit(), { views: 1 })
    })

    await t.test('res.sendFile, res.download and their errors', async () => {
      const file = await fetch(`${url}/file`)
      assert.deepEqual([file.headers.get('content-type')?.toLowerCase(), await file.text()], ['text/html; charset=utf-8', '<h1>static</h1>\n'])
      assert.equal((await fetch(`${url}/file/missing`)).status, 404)
      const download = await fetch(`${url}/download`)
      assert.match(download.headers.get('content-disposition') ?? '', /^attachment; .*filename(\*=UTF-8''th%C3%A8me\.css|="thème.css")$/)
      assert.equal(await download.text(), 'body { color: red }\n')
    })

    await t.test('redirects, cookies and negotiation answer as behind a server of its own', async () => {
      const redirect = await fetch(`${url}/redirect`, { redirect: 'manual' })
      assert.deepEqual([redirect.status, redirect.headers.get('location')], [302, '/file'])
      assert.equal(await (await fetch(`${url}/redirect`)).text(), '<h1>static</h1>\n')
      const cookies = await fetch(`${url}/cookies`)
      assert.deepEqual([cookiesOf(cookies), cookies.headers.getSetCookie().length], ['a=1; b=%C3%BC', 2])
      const html = await fetch(`${url}/accepts`, { headers: { accept: 'text/html' } })
      assert.deepEqual([html.headers.get('vary'), await html.text()], ['Accept', '<p>html</p>'])
      assert.equal((await fetch(`${url}/accepts`, { headers: { accept: 'image/png' } })).status, 406)
    })

    await t.test('body parsers read, limit and inflate', async () => {
      const json = await post('/json', 'application/json', '{"a":[1,"é"]}')
      assert.deepEqual([json.status, await json.json()], [201, { a: [1, 'é'] }])
      assert.equal((await post('/json', 'application/json', '{"a":')).status, 400)
      assert.equal((await post('/json', 'application/json', JSON.stringify('x'.repeat(2000)))).status, 413)
      const form = await post('/form', 'application/x-www-form-urlencoded', 'a[b]=1&c=%C3%A9')
      assert.deepEqual(await form.json(), { a: { b: '1' }, c: 'é' })
      assert.deepEqual(await (await post('/text', 'text/plain', LARGE.toString())).json(), { length: LARGE.length })
      const inflated = await post('/raw', 'application/octet-stream', gzipSync(LARGE), { 'content-encoding': 'gzip' })
      assert.ok(LARGE.equals(Buffer.from(await inflated.arrayBuffer())))
      const piped = await post('/pipe', 'application/octet-stream', new Uint8Array(LARGE))
      assert.ok(LARGE.equals(Buffer.from(await piped.arrayBuffer())))
    })

    await t.test('trust proxy believes what the connection that was accepted allows', async () => {
      const headers = { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https', 'x-requested-with': 'XMLHttpRequest' }
      assert.deepEqual(await (await fetch(`${url}/proxy`, { headers })).json(), {
        ip: '203.0.113.7', ips: ['203.0.113.7'], protocol: 'https', secure: true, hostname: '127.0.0.1', xhr: true,
      })
      assert.deepEqual(await (await fetch(`${url}/proxy`)).json(), {
        ip: '127.0.0.1', ips: [], protocol: 'http', secure: false, hostname: '127.0.0.1', xhr: false,
      })
    })

    await t.test('compression compresses, streams and flushes', async () => {
      const large = await fetch(`${url}/large`, { headers: { 'accept-encoding': 'gzip' } })
      assert.deepEqual([large.headers.get('content-encoding'), large.headers.get('vary')], ['gzip', 'Accept-Encoding'])
      assert.equal(await large.text(), 'compress me '.repeat(100_000))
      assert.equal(await (await fetch(`${url}/compressed-stream`, { headers: { 'accept-encoding': 'gzip' } })).text(), 'one two three')
      const plain = await fetch(`${url}/large`, { headers: { 'accept-encoding': 'identity' } })
      assert.deepEqual([plain.headers.get('content-encoding'), (await plain.text()).length], [null, 1_200_000])
      const client = new AbortController()
      const events = await fetch(`${url}/events`, { headers: { 'accept-encoding': 'gzip' }, signal: client.signal })
      let seen = ''
      for await (const part of events.body!.pipeThrough(new TextDecoderStream())) {
        seen += part
        if (seen.includes('data: 3\n')) break
      }
      client.abort()
      assert.match(seen, /^data: 1\n\ndata: 2\n\n/)
    })

    await t.test('routers see parameters, base paths and queries', async () => {
      assert.deepEqual(await (await fetch(`${url}/users/ada/items/7?a=1&a=2`)).json(), {
        id: '7', owner: 'ada', base: '/users/ada/items', url: '/7?a=1&a=2', original: '/users/ada/items/7?a=1&a=2', query: { a: ['1', '2'] },
      })
      assert.equal((await fetch(`${url}/nowhere`)).status, 404)
    })

    await t.test('errors reach the error handler; an answer that breaks off is not finished', async () => {
      const thrown = await fetch(`${url}/throw`)
      assert.deepEqual([thrown.status, await thrown.json()], [418, { error: 'on purpose' }])
      await assert.rejects(async () => await (await fetch(`${url}/late`)).text())
    })
  })
}
