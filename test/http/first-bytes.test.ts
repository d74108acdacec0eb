import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { readBegunHead, readFirstBytes } from '../../src/http/first-bytes.ts'

/** What node:http makes of the bytes: the first request that it would serve. */
async function parse(bytes: Buffer): Promise<http.IncomingMessage | undefined> {
  const server = http.createServer({ requireHostHeader: false })
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
  let first: http.IncomingMessage | undefined
  const note = (req: http.IncomingMessage): void => {
    first ??= req
  }
  for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade'] as const) server.on(event, note)
  const failed = new Promise((resolve) => server.on('clientError', resolve))
  server.emit('connection', socket)
  socket.push(bytes)
  socket.push(null)
  await Promise.race([failed, once(socket, 'end')])
  socket.destroy()
  return first
}

const ORDINARY = 'GET /a?b=c HTTP/1.1\r\nHost: blog.example.com\r\nAccept: */*\r\n\r\n'

/** Pieces of heads that are right, odd, or what attackers send. */
const line = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(
    'Accept: */*', 'User-Agent:  curl/8 ', 'Cookie: a=b; c="d"', 'X-Empty:', 'x-latin: \xe4\xff', 'Connection: keep-alive',
    'Content-Length: 3', 'Transfer-Encoding: chunked', 'Expect: 100-continue', 'Connection: Upgrade', 'Upgrade: websocket',
  ) },
  { weight: 1, arbitrary: fc.constantFrom(
    'Host: other.example.com', 'host:b.test', 'Host : c.test', ' folded', '\tfolded', 'X-A: b\nHost: d.test', 'X-A: b\rHost: d.test',
    'X-Nul: \0', ': nameless', 'nothing', 'Content-Length: +3', 'Content-Length: 3, 3', 'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: identity', 'H\u00f6st: e.test', 'Host', '', 'X-Del: \x7f', 'HOST:\tf.test\t', 'Host: g.test:99999', 'Host: a b',
  ) },
)

const requestLine = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(
    'GET / HTTP/1.1', 'POST /x?y HTTP/1.1', 'DELETE /~u/%20 HTTP/1.1', 'OPTIONS /a//b HTTP/1.1', 'HEAD /#f HTTP/1.1', 'PUT //host/x HTTP/1.1',
  ) },
  { weight: 1, arbitrary: fc.constantFrom(
    'GET / HTTP/1.0', 'GET http://other.test/ HTTP/1.1', 'OPTIONS * HTTP/1.1', 'CONNECT a.test:80 HTTP/1.1', 'get / HTTP/1.1', 'GET  / HTTP/1.1',
    'GET /\t HTTP/1.1', 'GET /\xe4 HTTP/1.1', 'PRI * HTTP/2.0', 'GET / HTTP/1.1 ', 'GET /', 'GET / http/1.1', '\r\nGET / HTTP/1.1', 'GET / HTTP/1.2',
  ) },
)

/** A head as it might come, with something behind it, and now and then a byte changed. */
const bytes = fc.tuple(
  requestLine,
  fc.array(line, { maxLength: 5 }),
  fc.constantFrom('Host: blog.example.com', 'host: Blog.Example.com:8080', 'Host:[::1]', ''),
  fc.nat(5),
  fc.constantFrom('', 'abc', '3\r\nabc\r\n0\r\n\r\n', ORDINARY),
  fc.option(fc.tuple(fc.nat(300), fc.nat(255)), { freq: 6 }),
).map(([first, fields, host, at, rest, change]) => {
  const lines: string[] = [first, ...(fields as string[]).toSpliced(at, 0, ...(host === '' ? [] : [host]))]
  const text = Buffer.from(`${lines.join('\r\n')}\r\n\r\n${rest}`, 'latin1')
  if (change !== null && change[0] < text.length) text[change[0]] = change[1]
  return text
})

test('whatever is read of the first bytes, node:http reads the same: one host, method, target and fields', async () => {
  let read = 0
  await fc.assert(fc.asyncProperty(bytes, async (given) => {
    const head = readFirstBytes(given)
    if (head === undefined) return
    read++
    const req = await parse(given)
    assert.ok(req !== undefined, 'node:http takes no request')
    assert.deepEqual([req.method, req.url, req.httpVersion], [head.method, head.url, '1.1'])
    assert.deepEqual(req.rawHeaders, [...head.rawHeaders])
    assert.deepEqual(req.headersDistinct['host'], [head.host])
  }), { numRuns: 4000 })
  assert.ok(read > 400, `only ${read} of the heads were ordinary`)
})

test('a head that is not complete is not read, wherever it breaks off', () => {
  const whole = Buffer.from(ORDINARY)
  for (let length = 0; length < whole.length; length++) assert.equal(readFirstBytes(whole.subarray(0, length)), undefined)
  assert.equal(readFirstBytes(whole)?.host, 'blog.example.com')
})

test('what the lines of a begun head say is what the whole one says, wherever it is cut', () => {
  let read = 0
  fc.assert(fc.property(bytes, fc.nat(150), (given, length) => {
    const cut = given.subarray(0, length)
    const [begun, whole] = [readBegunHead(cut), readFirstBytes(given)]
    if (begun === undefined) return
    assert.equal(readFirstBytes(cut), undefined)
    if (whole === undefined) return
    read++
    assert.deepEqual([begun.method, begun.url, begun.host], [whole.method, whole.url, whole.host])
    assert.deepEqual(begun.rawHeaders, whole.rawHeaders.slice(0, begun.rawHeaders.length))
  }), { numRuns: 4000 })
  assert.ok(read > 50, `only ${read} were begun and ordinary`)
})

test('a begun head says where it leads from the end of its Host line on, and not before', () => {
  const host = ORDINARY.indexOf('\r\nAccept') + 2
  for (let length = 0; length <= ORDINARY.length; length++) {
    const begun = readBegunHead(Buffer.from(ORDINARY.slice(0, length)))
    assert.equal(begun?.host, length >= host && length < ORDINARY.length ? 'blog.example.com' : undefined)
  }
})

test('what follows a head is free: a body, another request, anything', () => {
  for (const rest of ['abc', '\0\0', ORDINARY]) {
    assert.equal(readFirstBytes(Buffer.from(ORDINARY + rest, 'latin1'))?.url, '/a?b=c')
  }
})

test('any bytes at all are read without an error and without delay', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
    assert.equal(readFirstBytes(Buffer.from(noise)), undefined)
    assert.equal(readBegunHead(Buffer.from(noise)), undefined)
  }), { numRuns: 500 })
  // Each of these takes seconds where a reader looks back.
  for (const filler of [' ', '\t', '\r\n ', ':', 'a', 'a:\r\n']) {
    const long = Buffer.from(`GET / HTTP/1.1\r\nHost: a.test\r\nX:${filler.repeat(65_536 / filler.length)}\x01\r\n\r\n`, 'latin1')
    assert.equal(readFirstBytes(long), undefined)
    readBegunHead(long.subarray(0, -4))
  }
})

for (const [what, text] of Object.entries({
  'two hosts': 'GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n',
  'no host': 'GET / HTTP/1.1\r\nAccept: x\r\n\r\n',
  'a host that is none': 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
  'the absolute form': 'GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'HTTP/1.0': 'GET / HTTP/1.0\r\nHost: a.test\r\n\r\n',
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'TLS': '\x16\x03\x01\r\n\r\n',
  'a folded field': 'GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n',
  'a blank before a colon': 'GET / HTTP/1.1\r\nHost: a.test\r\nX : a\r\n\r\n',
  'a length and chunks': 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
  'two lengths': 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n',
  'a line that ends with LF': 'GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n',
  'an empty line before it': '\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'a method that nobody uses': 'BREW / HTTP/1.1\r\nHost: a.test\r\n\r\n',
})) {
  test(`${what} is nothing ordinary`, () => assert.equal(readFirstBytes(Buffer.from(text, 'latin1')), undefined))
}
