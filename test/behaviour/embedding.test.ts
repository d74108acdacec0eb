import http from 'node:http'
import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import express from 'express'
import { ask, askJson, eventually, Wire } from './client.ts'
import { COUNTING, openRuntime } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

const ECHO = `
export default async (req, res) => {
  let text = ''
  for await (const part of req) text += part
  res.setHeader('x-own', 'tenant')
  res.setHeader('set-cookie', ['a=1', 'b=2'])
  if (req.url.startsWith('/etag')) res.setHeader('etag', '"own"')
  res.end(JSON.stringify({ text, url: req.url, baseUrl: req.baseUrl, keys: Object.keys(req).filter((key) => key === 'body' || key === 'user') }))
}
`

async function listen(t: TestContext, app: http.RequestListener): Promise<number> {
  const server = http.createServer(app)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('in Express, headers of outer middlewares stay, the tenant wins where both say something, and cookies are not joined', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': ECHO })
  const app = express()
  app.use((_req, res, next) => {
    res.setHeader('x-content-type-options', 'nosniff')
    res.setHeader('x-own', 'outer')
    next()
  })
  app.use(runtime.handler)
  app.use((_req, res) => void res.send('outer'))
  const port = await listen(t, app)
  const { headers, text } = await ask(port, 'a.test', '/x', { method: 'POST', body: 'hello' })
  assert.deepEqual(
    [headers['x-content-type-options'], headers['x-own'], headers['set-cookie'], JSON.parse(text)],
    ['nosniff', 'tenant', ['a=1', 'b=2'], { text: 'hello', url: '/x', keys: [] }],
  )
  assert.equal((await ask(port, 'other.test')).text, 'outer')
})

test('in Express, a body that express.json() has read is an error at once, with what to do about it in the log', async (t) => {
  const { runtime, log } = await openRuntime(t, { 'a.test': ECHO })
  const app = express()
  app.use(express.json())
  app.use(runtime.handler)
  const port = await listen(t, app)
  assert.equal((await ask(port, 'a.test')).status, 200)
  const started = performance.now()
  const { status, text } = await ask(port, 'a.test', '/', {
    method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' },
  })
  assert.equal(status, 500)
  assert.ok(performance.now() - started < 1000)
  assert.doesNotMatch(text, /body parsers/)
  assert.ok(log.some(({ code, msg }) => code === 'ERR_BODY_CONSUMED' && msg.includes('mount runtime.handler before body parsers')))
  const raw = await ask(port, 'a.test', '/', { method: 'POST', body: 'not json', headers: { 'content-type': 'text/plain' } })
  assert.equal(raw.status, 200, 'a body that the parser left alone is served')
})

test('mounted under a path, the tenant sees its url below that path and nothing of other paths', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': ECHO })
  const app = express()
  app.use('/apps', runtime.handler)
  app.use((_req, res) => void res.send('outer'))
  const port = await listen(t, app)
  assert.equal((await askJson(port, 'a.test', '/apps/x?y=1'))['url'], '/x?y=1')
  assert.equal((await ask(port, 'a.test', '/elsewhere')).text, 'outer')
})

test('a middleware that wraps write() and end(), as compression does, gets every byte of the tenant', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': `
    export default (req, res) => { res.write('one '); setTimeout(() => res.end('two'), 20) }
  ` })
  const app = express()
  app.use((_req, res, next) => {
    const parts: Buffer[] = []
    const end = res.end.bind(res) as (body: Buffer) => typeof res
    res.setHeader('content-encoding', 'gzip')
    res.write = ((part: Uint8Array | string) => parts.push(Buffer.from(part as string)) > 0) as typeof res.write
    res.end = ((part?: Uint8Array | string) => {
      if (part !== undefined) parts.push(Buffer.from(part as string))
      return end(gzipSync(Buffer.concat(parts)))
    }) as typeof res.end
    next()
  })
  app.use(runtime.handler)
  const port = await listen(t, app)
  const answer = await fetchGzip(port, 'a.test')
  assert.equal(answer, 'one two')
})

async function fetchGzip(port: number, host: string): Promise<string> {
  const { gunzipSync } = await import('node:zlib')
  const incoming = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get({ port, agent: false, headers: { host } }, resolve).on('error', reject)
  })
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  return String(gunzipSync(Buffer.concat(parts)))
}

test("an error handler of Express hears nothing of a tenant's own failures, and foreign hosts reach the next route", async (t) => {
  const { runtime } = await openRuntime(t, { 'broken.test': `throw new Error('on purpose')`, 'a.test': ECHO })
  const app = express()
  const heard: unknown[] = []
  app.use(runtime.handler)
  app.get('/fails', () => { throw new Error('of the outer application') })
  app.use((_req, res) => void res.send('outer'))
  app.use(((error: Error, _req, res, _next) => {
    heard.push(error.message)
    res.status(500).send('handled')
  }) as express.ErrorRequestHandler)
  const port = await listen(t, app)
  assert.equal((await ask(port, 'broken.test')).status, 500)
  assert.deepEqual(heard, [])
  assert.equal((await ask(port, 'other.test')).text, 'outer')
  assert.equal((await ask(port, 'other.test', '/fails')).text, 'handled')
  assert.deepEqual(heard, ['of the outer application'])
})

test('two runtimes behind one server each serve their own hosts', async (t) => {
  const one = await openRuntime(t, { 'a.test': COUNTING })
  const two = await openRuntime(t, { 'b.test': COUNTING })
  const app = express()
  app.use(one.runtime.handler)
  app.use(two.runtime.handler)
  const port = await listen(t, app)
  assert.match(String((await askJson(port, 'a.test'))['group']), /^a\.test/)
  assert.match(String((await askJson(port, 'b.test'))['group']), /^b\.test/)
  assert.equal((await ask(port, 'c.test')).status, 404)
})

test('while the runtime drains, a middleware answers its hosts 503 and the rest of the server goes on', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': COUNTING })
  const app = express()
  app.use(runtime.handler)
  app.use((_req, res) => void res.send('outer'))
  const port = await listen(t, app)
  await askJson(port, 'a.test')
  await runtime.close()
  const { status, headers } = await ask(port, 'a.test')
  assert.deepEqual([status, headers.connection], [503, 'close'])
  assert.equal((await ask(port, 'other.test')).text, 'outer')
})

test('a response that somebody else has begun or ended is left alone, and the tenant does not suffer for it', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': `
    let requests = 0
    export default (req, res) => { requests++; setTimeout(() => res.end(String(requests)), req.url === '/timeout' ? 200 : 0) }
  ` })
  const port = await listen(t, (req, res) => {
    if (req.url === '/ended') res.end('ended before')
    if (req.url === '/begun') res.write('begun before')
    if (req.url === '/timeout') setTimeout(() => { res.statusCode = 503; res.end('too slow') }, 50)
    runtime.handler(req, res)
  })
  assert.equal((await ask(port, 'a.test')).text, '1')
  assert.equal((await ask(port, 'a.test', '/ended')).text, 'ended before')
  const wire = await Wire.open(t, port)
  wire.send('GET /begun HTTP/1.1\r\nHost: a.test\r\n\r\n')
  assert.doesNotMatch(await wire.rest(), /\r\n0\r\n\r\n$/)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  assert.equal((await ask(port, 'a.test', '/timeout', { agent })).text, 'too slow')
  assert.equal((await ask(port, 'a.test', '/', { agent })).text, '3', 'the same connection and the same context go on')
  await eventually('no slot is lost', () => runtime.stats().inFlight === 0)
  assert.equal((await ask(port, 'a.test', '/', { agent })).text, '4')
})

test("an answer advertises the embedding server's own keep-alive timeout", async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': COUNTING })
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const server = http.createServer({ keepAliveTimeout: 65_000 }, runtime.handler).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { headers } = await ask((server.address() as AddressInfo).port, 'a.test', '/', { agent })
  assert.equal(headers['keep-alive'], 'timeout=65')
})
