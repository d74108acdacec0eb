import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { APPS, cookiesOf, missing, serveFramework } from './serve.ts'

const ENTRY = 'next/.next/standalone/next/server.js'

test('a standalone build of Next.js runs as it was built', { skip: missing(ENTRY) }, async (t) => {
  const { url } = await serveFramework(t, path.join(APPS, ENTRY))

  await t.test('static pages, their scripts and public files', async () => {
    const page = await fetch(url)
    const html = await page.text()
    assert.deepEqual([page.status, page.headers.get('x-nextjs-cache')], [200, 'HIT'])
    assert.match(html, /<h1>static page<\/h1>.*<button>count/s)
    const scripts = [...html.matchAll(/<script src="(\/_next\/static\/[^"]+)"/g)].map(([, source]) => source as string)
    assert.ok(scripts.length > 0, html)
    for (const script of scripts) {
      const { status, headers } = await fetch(url + script)
      assert.deepEqual([status, headers.get('cache-control')], [200, 'public, max-age=31536000, immutable'])
    }
    assert.equal(await (await fetch(`${url}/file.txt`)).text(), 'a public file\n')
  })

  await t.test('dynamic pages stream, and see the request', async () => {
    const page = await fetch(`${url}/page/Ada`, { headers: { 'x-own': 'é1' } })
    assert.equal(page.headers.get('x-proxy'), 'seen')
    const parts: string[] = []
    for await (const part of page.body!.pipeThrough(new TextDecoderStream())) parts.push(part)
    const html = parts.join('')
    assert.match(html, /hello (<!-- -->)?Ada/)
    assert.match(html, /own: (<!-- -->)?é1/)
    assert.match(html, /streamed later/)
    assert.ok(parts.length > 1 && !parts[0]!.includes('streamed later'), 'the page begins before its slow part is there')
    assert.match(await (await fetch(`${url}/rewritten`)).text(), /hello (<!-- -->)?rewritten/)
    assert.equal((await fetch(`${url}/page/nobody`)).status, 404)
    assert.equal((await fetch(`${url}/nowhere`)).status, 404)
    const moved = await fetch(`${url}/page/moved`, { redirect: 'manual' })
    assert.deepEqual([moved.status, moved.headers.get('location')], [307, '/page/Ada'])
  })

  await t.test('route handlers read and set', async () => {
    const made = await fetch(`${url}/api/echo`, { method: 'POST', body: '{"a":"é"}' })
    assert.deepEqual([made.status, cookiesOf(made), await made.json()], [201, 'seen=1', { a: 'é' }])
    const seen = await fetch(`${url}/api/echo`, { headers: { cookie: 'seen=1' } })
    assert.deepEqual(await seen.json(), { url: '/api/echo', seen: '1' })
    assert.equal((await fetch(`${url}/api/echo`, { method: 'DELETE' })).status, 405)
  })

  await t.test('large pages are compressed when asked for', async () => {
    const page = await fetch(url, { headers: { 'accept-encoding': 'gzip' } })
    assert.deepEqual([page.headers.get('content-encoding'), /static page/.test(await page.text())], ['gzip', true])
  })
})
