import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { APPS, missing, serveFramework } from './serve.ts'

const ENTRY = 'nitro/.output/server/index.mjs'

test("Nitro's node-server output runs as it was built", { skip: missing(ENTRY) }, async (t) => {
  const { url } = await serveFramework(t, path.join(APPS, ENTRY))

  await t.test('routes, bodies and errors', async () => {
    const index = await fetch(`${url}/?a=1`)
    assert.deepEqual([index.headers.getSetCookie(), await index.json()], [['seen=1; Path=/'], { ip: '127.0.0.1', query: { a: '1' } }])
    const echo = await fetch(`${url}/echo`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":"é"}' })
    assert.deepEqual([echo.status, await echo.json()], [201, { a: 'é' }])
    assert.equal(await (await fetch(`${url}/names/Ada`)).text(), 'hello Ada')
    assert.equal((await fetch(`${url}/names/nobody`)).status, 404)
    assert.equal(await (await fetch(`${url}/stream`)).text(), 'one two three')
  })

  await t.test('public files with their validators', async () => {
    const file = await fetch(`${url}/file.txt`)
    assert.deepEqual([file.status, await file.text()], [200, 'a public file\n'])
    assert.match(file.headers.get('etag') ?? '', /"/)
    const head = await fetch(`${url}/file.txt`, { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '14', ''])
  })
})
