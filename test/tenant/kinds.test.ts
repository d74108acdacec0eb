import { test } from 'node:test'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { folder } from '../context/start.ts'
import { bodyOf, connect, exchange, get, serveEntry, serveSource } from './front.ts'
import type { TestContext } from 'node:test'
import type { FrontOptions } from './front.ts'

const apps = path.resolve('test/fixtures/apps')

/** What the application answers to a GET of `url`. */
async function answer(t: TestContext, source: string, options: FrontOptions = {}, url = '/x'): Promise<string> {
  const { port } = await serveSource(t, source, options)
  return bodyOf(await exchange(t, port, get(url)))
}

for (const [file, expected] of [
  ['function.mjs', 'esm /x'], ['function.cjs', 'cjs /x'], ['compiled.cjs', 'compiled /x'],
  ['fetch-object.mjs', 'fetch /x'], ['fetch-named.mjs', 'named /x'], ['server.mjs', 'server /x'],
  ['express.mjs', 'express /x'], ['express-listens.cjs', 'main /x'], ['koa.mjs', 'koa /x'],
  ['fastify.mjs', 'fastify /x'], ['fastify-listens.mjs', 'fastify /x'], ['hono.mjs', 'hono /x'],
] as const) {
  test(`${file} is served without being told what it is`, async (t) => {
    const { port } = await serveEntry(t, path.join(apps, file))
    const answer = await exchange(t, port, get('/x'))
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
    // A fetch answer has no length that Node could know: it is chunked.
    assert.match(bodyOf(answer), new RegExp(`^${expected}$`, 'm'))
  })
}

test('an Express application gets on with the request as behind its own server', async (t) => {
  const { port } = await serveEntry(t, path.join(apps, 'express.mjs'))
  assert.deepEqual(JSON.parse(bodyOf(await exchange(t, port, get('/json?a=1')))), {
    ip: '127.0.0.1', host: 'a.test', base: '', original: '/json?a=1',
  })
  assert.match(await exchange(t, port, get('/throw')), /^HTTP\/1\.1 500 /)
})

test("a Fastify application's plugins are ready before its first request", async (t) => {
  const { port } = await serveEntry(t, path.join(apps, 'fastify.mjs'))
  assert.equal(bodyOf(await exchange(t, port, get('/plugin'))), 'from a plugin')
})

// Unmodified programs that listen.

const LISTENING: readonly (readonly [string, string, string, string])[] = [
  ['a program that listens', 'app.mjs', `import http from 'node:http'
    http.createServer((req, res) => res.end('listens')).listen(3000)`, 'listens'],
  ['a CommonJS program that listens', 'app.cjs', `require('http').createServer((req, res) => res.end('cjs listens')).listen(3000)`, 'cjs listens'],
  ['a program that listens after an await', 'app.mjs', `import http from 'node:http'
    await new Promise((resolve) => setTimeout(resolve, 30))
    http.createServer((req, res) => res.end('later')).listen(3000)`, 'later'],
  ['a program that listens long after it was loaded', 'app.mjs', `import http from 'node:http'
    setTimeout(() => http.createServer((req, res) => res.end('much later')).listen(3000), 50)`, 'much later'],
  ['a server whose request listener comes after listen()', 'app.mjs', `import http from 'node:http'
    http.createServer().listen(3000).on('request', (req, res) => res.end('on request'))`, 'on request'],
  ['a program with an https server', 'app.mjs', `import https from 'node:https'
    https.createServer({}, (req, res) => res.end('https')).listen(3443)`, 'https'],
  ['a program with two servers: the first one serves', 'app.mjs', `import http from 'node:http'
    http.createServer((req, res) => res.end('first')).listen(3000)
    http.createServer((req, res) => res.end('second')).listen(3001)`, 'first'],
  ['a program that listens and exports, too: what listens serves', 'app.mjs', `import http from 'node:http'
    http.createServer((req, res) => res.end('listening')).listen(3000)
    export default (req, res) => res.end('exported')`, 'listening'],
]
for (const [what, name, source, expected] of LISTENING) {
  test(`${what} is served`, async (t) => {
    assert.equal(await answer(t, source, { name }), expected)
  })
}

test('two contexts may listen on the same port: none is bound', async (t) => {
  const source = `import http from 'node:http'
    http.createServer((req, res) => res.end(process.env.NAME)).listen(8080)`
  assert.equal(await answer(t, source, { env: { NAME: 'one' } }), 'one')
  assert.equal(await answer(t, source, { env: { NAME: 'two' } }), 'two')
})

/** Lets a program listen in its own way and report what it sees. */
const listening = (lines: string): string => `import http from 'node:http'
  const seen = []
  const server = http.createServer((req, res) => res.end(JSON.stringify(seen)))
  ${lines}`

const SEEN: readonly (readonly [string, string, unknown])[] = [
  ['listen(port, callback) calls back and tells its address', `seen.push(server.address())
    server.listen(3000, () => seen.push(server.listening, server.address()))`,
  [null, true, { address: '::', family: 'IPv6', port: 3000 }]],
  ['listen({ port, host }) tells its address', `server.listen({ port: 3000, host: '127.0.0.1' }, () => seen.push(server.address()))`,
    [{ address: '127.0.0.1', family: 'IPv4', port: 3000 }]],
  ["listen(port, host, backlog, callback) emits 'listening' once, after it has returned", `server.on('listening', () => seen.push('event'))
    server.listen(3000, '0.0.0.0', 511, () => seen.push('callback')); seen.push('returned')`,
  ['returned', 'event', 'callback']],
  ['port 0 becomes a port that is not 0, as a number', `server.listen(0, () => seen.push(server.address().port > 0, typeof server.address().port))`,
    [true, 'number']],
  ['a port as text becomes a number', `server.listen('3000', () => seen.push(server.address().port))`, [3000]],
  ['listening twice is the error that Node raises', `server.listen(3000)
    try { server.listen(3001) } catch (error) { seen.push(error.code) }`, ['ERR_SERVER_ALREADY_LISTEN']],
  ['listen() can be chained and the server be awaited', `seen.push(server.listen(3000) === server)
    await new Promise((resolve) => server.once('listening', resolve)); seen.push('awaited')`, [true, 'awaited']],
]
for (const [what, lines, expected] of SEEN) {
  test(what, async (t) => {
    assert.deepEqual(JSON.parse(await answer(t, listening(lines))), expected)
  })
}

test('a server that is closed may listen again, and calls back and emits once', async (t) => {
  const seen = await answer(t, listening(`
    server.on('close', () => seen.push('close'))
    server.listen(3000, () => server.close((error) => {
      seen.push(['closed', error ?? null, server.listening, server.address()])
      server.listen(3001, () => seen.push(server.address().port))
    }))`), {}, '/')
  assert.deepEqual(JSON.parse(seen), ['close', ['closed', null, false, null], 3001])
})

test('closing a server that does not listen is the error that Node raises', async (t) => {
  const seen = await answer(t, listening(`server.close((error) => { seen.push(error.code); server.listen(3000) })`))
  assert.deepEqual(JSON.parse(seen), ['ERR_SERVER_NOT_RUNNING'])
})

test("close() waits for the request under way, then the context ends by itself", async (t) => {
  const { port, context } = await serveSource(t, `import http from 'node:http'
    const server = http.createServer((req, res) => {
      server.close(() => { console.log('closed') })
      setTimeout(() => res.end('finished'), 50)
    }).listen(3000)`)
  assert.equal(bodyOf(await exchange(t, port, get('/'))), 'finished')
  assert.equal((await context.ended).exitCode, 0)
})

test('a server that is no HTTP server listens for real', async (t) => {
  const { port } = await serveSource(t, `
    import http from 'node:http'
    import net from 'node:net'
    const echo = net.createServer((socket) => socket.end('real bytes')).listen(0, '127.0.0.1')
    await new Promise((resolve) => echo.once('listening', resolve))
    export default (req, res) => net.connect(echo.address().port, '127.0.0.1').pipe(res)`)
  assert.match(await exchange(t, port, get('/')), /real bytes/)
})

// Where an application finds itself.

test('cwd, argv and require.main are those of the program itself', async (t) => {
  const dir = folder(t)
  const entry = path.join(dir, 'app.cjs')
  writeFileSync(entry, `module.exports = (req, res) => res.end(JSON.stringify({
    cwd: process.cwd(), argv: process.argv.slice(1), main: require.main === module, id: module.id, file: __filename }))`)
  const { port } = await serveEntry(t, entry)
  assert.deepEqual(JSON.parse(bodyOf(await exchange(t, port, get('/')))), { cwd: dir, argv: [entry], main: true, id: '.', file: entry })
})

test('modules to preload are loaded before the entry, in their order: by path and by package name', async (t) => {
  const dir = folder(t)
  writeFileSync(path.join(dir, 'first.cjs'), 'globalThis.order = ["first"]')
  writeFileSync(path.join(dir, 'second.mjs'), 'globalThis.order.push("second")')
  writeFileSync(path.join(dir, 'app.mjs'), 'globalThis.order.push("entry"); export default (req, res) => res.end(globalThis.order.join())')
  const { port } = await serveEntry(t, path.join(dir, 'app.mjs'), { preload: [path.join(dir, 'first.cjs'), './second.mjs'] })
  assert.equal(bodyOf(await exchange(t, port, get('/'))), 'first,second,entry')
})

test('each mount has its own application, which sees the url below it and the mount as Express shows it', async (t) => {
  const dir = folder(t)
  const show = (name: string): string => `export default (req, res) => res.end(JSON.stringify(['${name}', req.url, req.baseUrl, req.originalUrl]))`
  writeFileSync(path.join(dir, 'root.mjs'), show('root'))
  writeFileSync(path.join(dir, 'blog.mjs'), show('blog'))
  writeFileSync(path.join(dir, 'api.mjs'), `import http from 'node:http'
    http.createServer((req, res) => res.end(JSON.stringify(['api', req.url, req.baseUrl, req.originalUrl]))).listen(3000)`)
  const { port } = await serveEntry(t, path.join(dir, 'root.mjs'), {
    mounts: [
      { path: '/blog/api', entry: path.join(dir, 'api.mjs') },
      { path: '/blog', entry: path.join(dir, 'blog.mjs') },
      { path: '', entry: path.join(dir, 'root.mjs') },
    ],
  })
  const ask = async (url: string): Promise<unknown> => JSON.parse(bodyOf(await exchange(t, port, get(url)))) as unknown
  assert.deepEqual(await ask('/a?b'), ['root', '/a?b', undefined, undefined].map((value) => value ?? null))
  assert.deepEqual(await ask('/blog'), ['blog', '/', '/blog', '/blog'])
  assert.deepEqual(await ask('/blog/post?x=1'), ['blog', '/post?x=1', '/blog', '/blog/post?x=1'])
  assert.deepEqual(await ask('/blog/api/v1'), ['api', '/v1', '/blog/api', '/blog/api/v1'])
  assert.deepEqual(await ask('/blogger'), ['root', '/blogger', null, null])
})

test('requests and responses are instances of the real classes, also of the ones a framework derived', async (t) => {
  const seen = await answer(t, `
    import http from 'node:http'
    import net from 'node:net'
    export default (req, res) => res.end(JSON.stringify([
      req instanceof http.IncomingMessage, res instanceof http.ServerResponse, req.socket instanceof net.Socket,
      req.constructor === http.IncomingMessage, res.constructor === http.ServerResponse, res.req === req]))`)
  assert.deepEqual(JSON.parse(seen), [true, true, true, true, true, true])
})

test("a 'connection' listener of the application's server hears of each client once", async (t) => {
  const { port } = await serveSource(t, listening(`
    server.on('connection', (socket) => seen.push(socket.remoteAddress)).listen(3000)`))
  const client = await connect(t, port)
  client.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await client.until('["127.0.0.1"]')
  client.socket.write(get('/'))
  assert.equal(bodyOf((await client.closed).replace(/^[^]*?"\]/, '')), '["127.0.0.1"]')
})

test('requests of one connection share its socket, as behind node:http', async (t) => {
  const { port } = await serveSource(t, `let before
    export default (req, res) => { res.end(String(req.socket === before)); before = req.socket }`)
  const client = await connect(t, port)
  client.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await client.until('false')
  client.socket.write(get('/'))
  assert.match(await client.closed, /false[^]*true$/)
})
