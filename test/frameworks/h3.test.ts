import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from '../behaviour/client.ts'
import { cookiesOf, LARGE, serveFramework } from './serve.ts'

for (const [name, entry] of [
  ['h3 as a fetch export', 'h3/fetch.mjs'], ['h3 behind node:http', 'h3/node.mjs'], ['h3 by its own serve()', 'h3/serve.mjs'],
] as const) {
  test(name, async (t) => {
    const { url, port, log } = await serveFramework(t, entry)
    const json = async (path: string, init?: RequestInit): Promise<unknown> => (await fetch(url + path, init)).json()

    await t.test('routes, middlewares, queries and bodies', async () => {
      const index = await fetch(`${url}/?a=1&a=2`)
      assert.equal(index.headers.get('x-own'), 'middleware')
      // A fetch export gets a Request of the platform's, which has no address.
      const ip = entry === 'h3/fetch.mjs' ? null : '127.0.0.1'
      assert.deepEqual(await index.json(), { marked: true, query: { a: ['1', '2'] }, ip, path: '/' })
      assert.equal(await (await fetch(`${url}/names/Ada`)).text(), 'hello Ada')
      const headers = { 'content-type': 'application/json' }
      const echo = await fetch(`${url}/echo`, { method: 'POST', headers, body: '{"a":"é"}' })
      assert.deepEqual([echo.status, await echo.json()], [201, { a: 'é' }])
      const bytes = await fetch(`${url}/bytes`, { method: 'POST', body: new Uint8Array(LARGE) })
      assert.ok(LARGE.equals(Buffer.from(await bytes.arrayBuffer())))
      assert.equal(await (await fetch(`${url}/nested/inner`)).text(), '/nested/inner')
    })

    await t.test('cookies, redirects, responses and nothing', async () => {
      const first = await fetch(`${url}/cookies`)
      assert.deepEqual([cookiesOf(first), await first.json()], ['seen=yes; other=1', { seen: null }])
      assert.deepEqual(await json('/cookies', { headers: { cookie: cookiesOf(first) } }), { seen: 'yes' })
      const moved = await fetch(`${url}/redirect`, { redirect: 'manual' })
      assert.deepEqual([moved.status, moved.headers.get('location')], [308, '/names/redirected'])
      const response = await fetch(`${url}/response`)
      assert.deepEqual([response.status, await response.text()], [202, 'from a response'])
      assert.equal(await (await fetch(`${url}/nothing`)).text(), '')
    })

    await t.test('files with their validators', async () => {
      const file = await fetch(`${url}/files/fetch.mjs`)
      assert.deepEqual([file.headers.get('content-type'), /export default app/.test(await file.text())], ['text/javascript', true])
      const since = file.headers.get('last-modified') as string
      const again = await ask(port, '127.0.0.1', '/files/fetch.mjs', { headers: { 'if-modified-since': since } })
      assert.deepEqual([again.status, again.text], [304, ''])
      assert.equal((await fetch(`${url}/files/none.mjs`)).status, 404)
    })

    await t.test('events arrive one by one, and end with their client', async () => {
      const client = new AbortController()
      const events = await fetch(`${url}/events`, { signal: client.signal })
      let seen = ''
      for await (const part of events.body!.pipeThrough(new TextDecoderStream())) {
        seen += part
        if (seen.includes('number 3\n')) break
      }
      assert.match(seen, /^data: number 1\n\ndata: number 2\n\n/)
      client.abort()
      await eventually('the application sees it', async () => (await json('/left') as { left: number }).left === 1)
    })

    await t.test('errors are answered, and reported when nobody meant them', async () => {
      const conflict = await fetch(`${url}/error`)
      const { message, data } = await conflict.json() as { message: string; data: unknown }
      assert.deepEqual([conflict.status, message, data], [409, 'on purpose', { why: 'a test' }])
      assert.equal((await fetch(`${url}/crash`)).status, 500)
      await eventually('the hook', () => log.some(({ msg }) => msg === 'failed: on purpose'))
      assert.equal((await fetch(`${url}/nowhere`)).status, 404)
    })
  })
}
