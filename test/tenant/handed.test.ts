import { test } from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { record } from '../context/start.ts'
import { eventually } from '../behaviour/client.ts'
import { bodyOf, connect, exchange, get, post, withoutDate } from './front.ts'
import { handSource, skip } from './handed-front.ts'

const HELLO = `export default (req, res) => res.end('hello ' + req.url)`

/** A request that keeps its connection. */
const ask = (path: string, headers = '', host = 'a.test'): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`

test('a context serves a connection that was handed over, request after request', { skip }, async (t) => {
  const { port, context } = await handSource(t, HELLO)
  const client = await connect(t, port)
  client.socket.write(ask('/one'))
  await client.until('hello /one')
  client.socket.write(ask('/two'))
  await client.until('hello /two')
  assert.equal(withoutDate(client.text().slice(0, client.text().indexOf('\r\n\r\n'))), [
    'HTTP/1.1 200 OK', 'Date: now', 'Connection: keep-alive', 'Keep-Alive: timeout=5', 'Content-Length: 10',
  ].join('\r\n'))
  // 'finish' comes when the system has taken the answer: the client may have it before.
  await eventually('both are counted', () => context.scoreboard.read('handedServed') === 2)
  const { handedOpened, handedServed, handedInFlight, handedConnections, served, inFlight } = context.scoreboard.snapshot()
  assert.deepEqual({ handedOpened, handedServed, handedInFlight, handedConnections, served, inFlight }, {
    handedOpened: 1, handedServed: 2, handedInFlight: 0, handedConnections: 1, served: 2, inFlight: 0,
  })
  client.socket.end()
  await client.closed
  await eventually('it is counted as closed', () => context.scoreboard.read('handedConnections') === 0)
})

test('a later request for another host is answered with 421, and the front hears of it', { skip }, async (t) => {
  const { port, context } = await handSource(t, HELLO)
  const refusals = record(t, 'tenantry:admission:refuse')
  const peers: string[] = []
  context.onMisdirected = (peer) => peers.push(peer)
  const client = await connect(t, port)
  client.socket.write(ask('/'))
  await client.until('hello /')
  client.socket.write(ask('/secret', '', 'b.test'))
  const text = await client.closed
  assert.match(text, /HTTP\/1\.1 421 Misdirected Request\r\n[^]*Connection: close\r\n/)
  assert.doesNotMatch(text, /secret/)
  await eventually('the front knows the peer', () => peers.length === 1)
  assert.deepEqual(peers, ['127.0.0.1'])
  assert.deepEqual(refusals.map(({ host, code, label }) => ({ host, code, label })), [
    { host: 'b.test', code: 'ERR_MISDIRECTED', label: context.spec.label },
  ])
})

for (const [what, request, answer] of [
  ['two Host fields', 'GET /x HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n', /^HTTP\/1\.1 400 Bad Request/],
  ['no Host field', 'GET /x HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 421 /],
  ['an absolute target', 'GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n', /^HTTP\/1\.1 421 /],
] as const) {
  test(`a later request with ${what} never reaches the application`, { skip }, async (t) => {
    const { port } = await handSource(t, HELLO)
    const client = await connect(t, port)
    client.socket.write(ask('/'))
    const before = await client.until('hello /')
    client.socket.write(request)
    const after = (await client.closed).slice(before.length)
    assert.match(after, answer)
    assert.match(after, /Connection: close/)
  })
}

test('requests that are refused are nobody\'s: they count neither as in flight nor as served', { skip }, async (t) => {
  const source = `export default (req, res) => req.on('end', () => res.end('hello ' + req.url)).resume()`
  const { port, context } = await handSource(t, source, { requests: { bodyLimit: 10 } })
  const client = await connect(t, port)
  // Behind an answer that is on its way, and before one that is not asked for yet.
  client.socket.write(ask('/one') + 'POST /no HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nhello world')
  await client.until('413 ')
  for (const host of ['b.test', 'c.test']) {
    const other = await connect(t, port)
    other.socket.write(ask('/two'))
    await other.until('hello /two')
    other.socket.write(ask('/x', '', host))
    assert.match(await other.closed, /421 /)
  }
  await eventually('three are counted', () => context.scoreboard.read('handedServed') === 3)
  client.socket.destroy()
  await eventually('all are closed', () => context.scoreboard.read('handedConnections') === 0)
  assert.equal(context.scoreboard.read('handedInFlight'), 0)
  assert.equal(context.scoreboard.read('handedServed'), 3)
})

test('a host may be written in capitals', { skip }, async (t) => {
  const { port } = await handSource(t, HELLO)
  assert.match(await exchange(t, port, get('/x').replace('a.test', 'A.Test')), /hello \/x$/)
})

test('mounts are chosen as on the relay, with url, baseUrl and originalUrl', { skip }, async (t) => {
  const entry = `export default (req, res) => res.end(JSON.stringify([req.url, req.baseUrl, req.originalUrl]))`
  const { port, context } = await handSource(t, entry)
  const mounts = [{ path: '/blog', entry: context.spec.mounts[0]?.entry as string }]
  const other = await handSource(t, entry, { mounts })
  const shown = async (path: string): Promise<unknown> => JSON.parse(bodyOf(await exchange(t, other.port, get(path))))
  assert.deepEqual(await shown('/blog/a?b'), ['/a?b', '/blog', '/blog/a?b'])
  assert.deepEqual(await shown('/blog?x=/y'), ['/?x=/y', '/blog', '/blog?x=/y'])
  assert.match(await exchange(t, other.port, get('/blogs')), /^HTTP\/1\.1 404 Not Found/)
  assert.match(await exchange(t, port, get('/blogs')), /"\/blogs"/)
})

test('a body that is announced or sent beyond bodyLimit is 413, and the application never gets the excess', { skip }, async (t) => {
  const { port } = await handSource(t, `
    let most = 0
    export default (req, res) => {
      let bytes = 0
      req.on('data', (piece) => { bytes += piece.length; most = Math.max(most, bytes) })
      req.on('error', () => {})
      req.on('end', () => res.end(String(most)))
    }`, { requests: { bodyLimit: 10 } })
  const [refusals, errors] = [record(t, 'tenantry:admission:refuse'), record(t, 'tenantry:request:error')]
  assert.match(await exchange(t, port, post('/', 'x'.repeat(11))), /^HTTP\/1\.1 413 /)
  const chunked = (...pieces: string[]): string => 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n' +
    pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')
  assert.match(await exchange(t, port, chunked('12345678', '123')), /^HTTP\/1\.1 413 /)
  assert.equal(bodyOf(await exchange(t, port, `${chunked('1234567890')}0\r\n\r\n`)), '10')
  assert.equal(bodyOf(await exchange(t, port, post('/', 'x'.repeat(10)))), '10')
  await eventually('each is told once', () => refusals.length === 1 && errors.length === 1)
})

test('an application that does not begin its answer within handlerTimeout is 504, and hears that its client is gone', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    const gone = []
    export default (req, res) => {
      if (req.url === '/gone') return res.end(gone.join())
      if (req.url === '/begun') { res.write('begun '); setTimeout(() => res.end('ended'), 800); return }
      res.once('close', () => { gone.push(req.url); res.writeHead(200); res.end('late') })
    }`, { requests: { handlerTimeout: 300 } })
  const errors = record(t, 'tenantry:request:error')
  assert.match(await exchange(t, port, ask('/slow')), /^HTTP\/1\.1 504 Gateway Timeout/)
  await eventually('the application hears of it', async () => bodyOf(await exchange(t, port, get('/gone'))) === '/slow')
  assert.match(await exchange(t, port, get('/begun')), /begun [^]*ended/)
  assert.deepEqual(errors.map(({ code, truncated, method }) => ({ code, truncated, method })), [
    { code: 'ERR_HANDLER_TIMEOUT', truncated: false, method: 'GET' },
  ])
  await eventually('nothing is in flight', () => context.scoreboard.read('inFlight') === 0)
})

test('a head that comes too slowly is 408', { skip }, async (t) => {
  const { port } = await handSource(t, HELLO, { pace: { headerTimeout: 400 } })
  const refusals = record(t, 'tenantry:admission:refuse')
  const client = await connect(t, port)
  client.socket.write(ask('/'))
  const before = await client.until('hello /')
  // What comes at once after an answer is Node's keepAliveTimeout's.
  await sleep(250)
  client.socket.write('GET /slow HTTP/1.1\r\nHost: a')
  assert.match((await client.closed).slice(before.length), /^HTTP\/1\.1 408 Request Timeout/)
  await eventually('the front hears of it', () => refusals.length === 1)
  assert.equal(refusals[0]?.code, 'ERR_READ_TIMEOUT')
})

test('a body that comes too slowly is 408, and the clock stands still while the application does not read', { skip }, async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const { port } = await handSource(t, `
    export default (req, res) => {
      const later = req.url === '/later' ? 1000 : 0
      req.on('error', ({ name, code, bytesReceived, bytesExpected }) => console.log(JSON.stringify([name, code, bytesReceived, bytesExpected])))
      setTimeout(() => { let n = 0; req.on('data', (piece) => { n += piece.length }); req.on('end', () => res.end('read ' + n)) }, later)
    }`, { pace: { bodyTimeout: 500 } })
  const client = await connect(t, port)
  client.socket.write('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n123')
  assert.match(await client.closed, /^HTTP\/1\.1 408 Request Timeout/)
  await eventually('the application hears how far it came', () => lines.length === 1)
  assert.equal(lines[0]?.line, '["ReadTimeoutError","ERR_READ_TIMEOUT",3,10]')
  const body = 'x'.repeat(4_000_000)
  assert.match(await exchange(t, port, post('/later', body)), /read 4000000$/)
})

test('an answer of which its client takes nothing for sendTimeout is cut', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    export default (req, res) => { const piece = Buffer.alloc(65536); const go = () => { while (res.write(piece)); res.once('drain', go) }; go() }`,
  { pace: { sendTimeout: 500 } })
  const errors = record(t, 'tenantry:request:error')
  const client = await connect(t, port)
  client.socket.pause()
  client.socket.write(ask('/'))
  await eventually('it is cut', () => errors.length === 1)
  assert.deepEqual(errors.map(({ code, truncated }) => [code, truncated]), [['ERR_SEND_TIMEOUT', true]])
  await eventually('nothing is in flight', () => context.scoreboard.read('inFlight') === 0)
})

test('past maxInFlight requests wait for a slot, past maxQueue they are refused, and none waits longer than queueTimeout', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    let release = []
    export default (req, res) => {
      if (req.url === '/release') { res.end('released'); for (const r of release) r.end('let go'); return }
      release.push(res)
    }`, { requests: { maxInFlight: 2, maxQueue: 2 }, pace: { queueTimeout: 1500 } })
  const hold = async (): ReturnType<typeof connect> => {
    const client = await connect(t, port)
    client.socket.write(get('/hold'))
    await sleep(50)
    return client
  }
  const [first, second, third, fourth] = [await hold(), await hold(), await hold(), await hold()]
  assert.equal(context.scoreboard.read('handedQueued'), 2)
  const fifth = await hold()
  assert.match(await fifth.closed, /^HTTP\/1\.1 503 Service Unavailable\r\n[^]*Retry-After: 1/)
  // A client that leaves takes its place in the queue along.
  third.socket.destroy()
  assert.match(await fourth.closed, /^HTTP\/1\.1 504 Gateway Timeout/)
  assert.equal(first.text() + second.text(), '')
  first.socket.destroy()
  const late = await connect(t, port)
  late.socket.write(get('/release'))
  assert.match(await late.closed, /released/)
  assert.match(await second.closed, /let go/)
})

test('pipelined requests are answered in their order, and too many that wait cut their connection', { skip }, async (t) => {
  const { port } = await handSource(t, `
    export default (req, res) => { if (req.url !== '/never') setTimeout(() => res.end(req.url + ';'), req.url === '/1' ? 100 : 0) }`)
  const text = await exchange(t, port, ask('/1') + ask('/2') + get('/3'))
  assert.deepEqual(text.match(/\/\d;/g), ['/1;', '/2;', '/3;'])
  assert.equal(await exchange(t, port, ask('/never').repeat(400)), '')
})

test('an idle connection is closed by a drain, a busy one with its answer, and then the context ends', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    export default (req, res) => req.url === '/slow' ? setTimeout(() => res.end('slow'), 500) : res.end('fast')`)
  const idle = await connect(t, port)
  idle.socket.write(ask('/'))
  await idle.until('fast')
  await eventually('it is idle', () => context.scoreboard.read('handedServed') === 1)
  const busy = await connect(t, port)
  busy.socket.write(ask('/slow'))
  await eventually('it is in flight', () => context.scoreboard.read('handedInFlight') === 1)
  context.drain('admin')
  await idle.closed
  assert.match(await busy.closed, /Connection: close\r\n[^]*slow/)
  const end = await context.ended
  assert.deepEqual([end.reason, end.terminated, end.exitCode], ['admin', false, 0])
})

test('an upgrade gets the connection itself, and a request that nobody upgrades is an ordinary one', { skip }, async (t) => {
  const source = (upgrades: boolean): string => `
    import http from 'node:http'
    const server = http.createServer((req, res) => res.end('plain ' + req.method))
    ${upgrades ? `server.on('upgrade', (req, socket, head) => {
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n' + head)
      socket.pipe(socket)
    })` : ''}
    server.listen(80)`
  const upgrade = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  const { port, context } = await handSource(t, source(true))
  const client = await connect(t, port)
  client.socket.write(`${upgrade}early`)
  await client.until('early')
  client.socket.write('late')
  await client.until('late')
  assert.equal(context.scoreboard.read('handedInFlight'), 1)
  client.socket.end()
  await client.closed
  await eventually('it is over', () => context.scoreboard.read('inFlight') === 0)
  const plain = await handSource(t, source(false))
  const other = await connect(t, plain.port)
  other.socket.write(upgrade)
  await other.until('plain GET')
})

test('an upgrade takes a slot of maxInFlight, waits for one, and is refused like a request', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    import http from 'node:http'
    const server = http.createServer((req, res) => res.end('plain'))
    server.on('upgrade', (req, socket) => socket.resume().on('end', () => socket.end()).write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'))
    server.listen(80)`, { requests: { maxInFlight: 1, maxQueue: 1 }, pace: { queueTimeout: 60_000 } })
  const upgrade = async (): ReturnType<typeof connect> => {
    const client = await connect(t, port)
    client.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    return client
  }
  const first = await upgrade()
  await first.until('101')
  const second = await upgrade()
  await eventually('it waits', () => context.scoreboard.read('handedQueued') === 1)
  const third = await upgrade()
  assert.match(await third.closed, /^HTTP\/1\.1 503 Service Unavailable\r\nRetry-After: 1/)
  assert.equal(second.text(), '')
  first.socket.destroy()
  await second.until('101')
  assert.equal(context.scoreboard.read('handedInFlight'), 1)
})

test('100 Continue and other expectations are the application\'s', { skip }, async (t) => {
  const { port } = await handSource(t, `
    import http from 'node:http'
    const server = http.createServer((req, res) => req.pipe(res))
    server.on('checkContinue', (req, res) => {
      if (req.url === '/no') return res.writeHead(417, { connection: 'close' }).end()
      res.writeContinue()
      req.pipe(res)
    })
    server.listen(80)`)
  const head = (path: string, expect: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: a.test\r\nExpect: ${expect}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n`
  const client = await connect(t, port)
  client.socket.write(head('/', '100-continue'))
  await client.until('HTTP/1.1 100 Continue')
  client.socket.write('body')
  assert.match(await client.closed, /200 OK[^]*body/)
  assert.match(await exchange(t, port, head('/no', '100-continue')), /^HTTP\/1\.1 417 /)
  assert.match(await exchange(t, port, head('/', 'magic')), /^HTTP\/1\.1 417 /)
})

test('an uncaught error ends the context, and its connections break off', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    export default (req, res) => { if (req.url === '/crash') { res.write('begun'); setTimeout(() => { throw new Error('boom') }, 50) } else res.end('fine') }`)
  const text = await exchange(t, port, get('/crash'))
  assert.match(text, /begun/)
  assert.doesNotMatch(text, /\r\n0\r\n\r\n$/)
  assert.equal((await context.ended).reason, 'crash')
})

test('server.close() waits for what is in flight, then idle connections go, and the program ends', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    import http from 'node:http'
    const server = http.createServer((req, res) => {
      if (req.url === '/close') { server.close(() => console.log('closed')); setTimeout(() => res.end('done'), 200) } else res.end('fine')
    }).listen(80)`)
  const lines = record(t, 'tenantry:context:output')
  const idle = await connect(t, port)
  idle.socket.write(ask('/'))
  await idle.until('fine')
  const last = await connect(t, port)
  last.socket.write(ask('/close'))
  await last.until('done')
  await idle.closed
  await last.closed
  assert.deepEqual([(await context.ended).exitCode, lines.map(({ line }) => line)], [0, ['closed']])
})

test("connection listeners hear of each client once, and a server's timeout holds for its requests", { skip }, async (t) => {
  const { port } = await handSource(t, `
    import http from 'node:http'
    let seen = 0
    const server = http.createServer((req, res) => { if (req.url !== '/hang') res.end(String(seen)) })
    server.on('connection', () => { seen++ })
    server.timeout = 300
    server.listen(80)`)
  const client = await connect(t, port)
  client.socket.write(ask('/'))
  await client.until('\r\n\r\n1')
  client.socket.write(ask('/'))
  await client.until('\r\n\r\n1HTTP/1.1 200 OK')
  client.socket.write(ask('/hang'))
  assert.doesNotMatch((await client.closed).slice(-3), /2/)
})

test('a client that ends its half is gone, as behind node:http, and so is one that resets its connection', { skip }, async (t) => {
  const { port, context } = await handSource(t, `
    export default (req, res) => req.url === '/long' ? setTimeout(() => res.end('answer'), 60_000) : res.end('at once')`)
  const client = await connect(t, port)
  client.socket.end(ask('/'))
  assert.match(await client.closed, /at once$/)
  const half = await connect(t, port)
  half.socket.end(ask('/long'))
  assert.equal(await half.closed, '')
  await eventually('it is over', () => context.scoreboard.read('inFlight') === 0)
  const rude = await connect(t, port)
  rude.socket.write(ask('/long'))
  await eventually('it is in flight', () => context.scoreboard.read('inFlight') === 1)
  rude.socket.resetAndDestroy()
  await eventually('it is over', () => context.scoreboard.read('inFlight') === 0)
})

test('an answer that is shorter than its Content-Length says is cut, and others are left alone', { skip }, async (t) => {
  const { port } = await handSource(t, `
    const ways = {
      '/short': (res) => res.writeHead(200, { 'content-length': 10 }).end('short'),
      '/pieces': (res) => { res.writeHead(200, { 'content-length': 10 }); res.write('12345'); setTimeout(() => res.end('67890'), 20) },
      '/hints': (res) => { res.writeProcessing(); res.writeEarlyHints({ link: '</a>; rel=preload' }); res.end('after hints') },
      '/utf8': (res) => res.writeHead(200, { 'content-length': 3, 'x-name': '\u00e9' }).end('\u20ac'),
      '/none': (res) => res.writeHead(204).end(),
      '/empty': (res) => res.end(),
      '/unmodified': (res) => res.writeHead(304, { 'content-length': 10 }).end(),
      '/chunked': (res) => { res.write('a'); res.end('b') },
      '/plain': (res) => { res.removeHeader('content-length'); res.end('until close') },
    }
    export default (req, res) => ways[req.url](res)`)
  const errors = record(t, 'tenantry:request:error')
  const short = await connect(t, port)
  short.socket.write(ask('/short') + ask('/utf8'))
  assert.match(await short.closed, /Content-Length: 10\r\n[^]*\r\n\r\nshort$/i)
  await eventually('the front hears of it', () => errors.length === 1)
  assert.deepEqual(errors.map(({ code, truncated }) => [code, truncated]), [['ERR_PROTOCOL', true]])
  const client = await connect(t, port)
  for (const path of ['/pieces', '/hints', '/utf8', '/none', '/empty', '/unmodified', '/chunked', '/pieces', '/utf8']) {
    const answers = client.text().split(/HTTP\/1\.1 (?!1)/).length
    client.socket.write(ask(path))
    await eventually(`${path} is answered`, () => client.text().split(/HTTP\/1\.1 (?!1)/).length === answers + 1 || client.socket.destroyed)
    await sleep(40)
    assert.equal(client.socket.readyState, 'open', path)
  }
  client.socket.write(ask('/pieces').replace('GET', 'HEAD') + get('/utf8'))
  assert.match(await client.closed, /\r\n\r\n\u00e2\u0082\u00ac$/)
  assert.equal(errors.length, 1)
})
