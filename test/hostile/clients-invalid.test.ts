import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { head, many, Raw } from './raw.ts'
import { THREADS, Siege, skip, sleep } from './siege.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(THREADS) })
after(() => siege?.close())

/** What must never be served: it stands in the body, or behind the end, of something that is no request. */
const HIDDEN = head('GET', '/hidden')

const post = (fields: string, body = ''): string => `POST /read HTTP/1.1\r\nHost: victim.test\r\n${fields}\r\n\r\n${body}`
const chunked = (body: string): string => post('Transfer-Encoding: chunked', body + HIDDEN)
const coded = (coding: string): string => post(`Transfer-Encoding: ${coding}`, `0\r\n\r\n${HIDDEN}`)
const length = (value: string): string => post(`Content-Length: ${value}`, `hello${HIDDEN}`)
const line = (text: string): string => `${text}\r\nHost: victim.test\r\n\r\n`

const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'a chunk size that is none': ['zz\r\n', '-1\r\n', '3 \r\nabc\r\n', 'f'.repeat(17), '0\n\n', '3\r\nabcdef\r\n', `3;${'a'.repeat(20_000)}\r\n`].map(chunked),
  'a length and chunks': [post('Content-Length: 5\r\nTransfer-Encoding: chunked', `0\r\n\r\n${HIDDEN}`)],
  'a length that is none': ['-5', '+5', '0x5', '5, 5', '5\r\nContent-Length: 6', '5\r\nContent-Length: 5', '', '9'.repeat(20)].map(length),
  'a coding that is not only chunked': ['gzip', 'identity', 'xchunked', 'chunked, gzip', '\x0bchunked', 'chunked\r\nTransfer-Encoding: identity'].map(coded),
  'a folded field': [post('X: a\r\n b'), `GET / HTTP/1.1\r\n Host: victim.test\r\n\r\n`],
  'a control character': [post('X: a\0b'), post('X\0: a'), post('X: a\rb'), post('X\r: a'), line('GET /\0 HTTP/1.1')],
  'a bare line feed': ['GET / HTTP/1.1\nHost: victim.test\n\n', post('X: a\nY: b')],
  'a field without a name or a colon': [post('X'), post(': a'), post('X : a')],
  'a request line that is none': ['GET / HTTP/1.2', 'get / HTTP/1.1', 'BREW / HTTP/1.1', 'GET /a b HTTP/1.1', 'GET  HTTP/1.1', 'GET /\xff HTTP/1.1'].map(line),
  'another protocol': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'SSH-2.0-OpenSSH\r\n'],
  'a head that is too long': [post(`X: ${'a'.repeat(20_000)}`), post(`${'a'.repeat(20_000)}: X`), post('a: b\r\n'.repeat(10_000).trimEnd()), line(`GET /${'a'.repeat(20_000)} HTTP/1.1`)],
  'a host behind more fields than are looked at': [`GET / HTTP/1.1\r\n${'a:\r\n'.repeat(2100)}Host: victim.test\r\n\r\n`],
}

/** All that comes back until the server closes; the attacker has ended its half. */
async function exchange(port: number, request: string): Promise<string> {
  const raw = await Raw.open(port)
  raw.socket.end(Buffer.from(request, 'latin1'))
  const closed = await Promise.race([raw.closed.then(() => true), sleep(5000).then(() => false)])
  raw.leave()
  assert.ok(closed, `the server closes after ${JSON.stringify(request.slice(0, 200))}`)
  return raw.text
}

const statuses = (text: string): string[] => [...text.matchAll(/HTTP\/1\.1 (\d\d\d)/g)].map(([, status]) => status as string)

for (const [name, requests] of Object.entries(REFUSED)) {
  test(`${name} is refused, and nothing behind it is served`, { skip }, async (t) => {
    const attack = async ({ port }: Siege): Promise<void> => {
      await many(requests.length * 20, 20, async (index) => {
        const request = requests[index % requests.length] as string
        const text = await exchange(port, request)
        const shown = `${JSON.stringify(request.slice(0, 100))} was answered ${JSON.stringify(text.slice(0, 300))}`
        assert.ok(statuses(text).length <= 1 && !text.includes('hidden'), shown)
        assert.match(text, /^(?:HTTP\/1\.1 (?:400|413|431) |$)/, shown)
      })
    }
    await siege.withstands(t, { warmUp: attack, attack })
  })
}

test('a body that is announced behind more fields than are looked at is no request', { skip }, async () => {
  const raw = await Raw.open(siege.port)
  raw.send(post(`Connection: close\r\n${'a:\r\n'.repeat(2100)}Content-Length: ${HIDDEN.length}`, HIDDEN))
  await raw.closed
  // Node 20 leaves out the fields beyond its limit; later ones refuse such a head.
  assert.match(statuses(raw.text).join(), /^(?:200|431)$/)
  assert.ok(!raw.text.includes('hidden'))
})

test('an upgrade that calls itself HTTP/2.0 on a connection of HTTP/1 may be reset', { skip }, async (t) => {
  const attack = async ({ port }: Siege): Promise<void> => {
    await many(40, 10, async (index) => {
      const raw = await Raw.open(port)
      raw.send(`${index % 2 === 0 ? 'GET /' : 'CONNECT victim.test:80'} HTTP/2.0\r\nHost: victim.test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nsome`)
      await sleep(index)
      raw.leave('reset')
      await raw.closed
    })
  }
  await siege.withstands(t, { warmUp: attack, attack })
})

const GOOD = [
  head('GET', '/'), head('GET', '/pieces', 'X-A: b', 'Cookie: c=d'), head('HEAD', '/'),
  `${head('POST', '/echo', 'Content-Length: 11')}hello world`,
  `${head('POST', '/echo', 'Transfer-Encoding: chunked', 'Trailer: T')}5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nT: t\r\n\r\n`,
  head('GET', 'http://victim.test/') + head('OPTIONS', '*'),
  head('POST', '/read', 'Expect: 100-continue', 'Content-Length: 3'),
]
const NASTY = [
  '\0', '\r', '\n', '\r\n', '\r\n\r\n', ' ', '\t', '\x7f', '\xff', ':', ';', ',', '0', '-', 'Host: victim.test\r\n', 'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: gzip\r\n', 'Connection: close\r\n', 'Upgrade: raw\r\nConnection: upgrade\r\n', 'f'.repeat(20), HIDDEN,
]

type Change = readonly [kind: 'delete' | 'insert' | 'double' | 'swap', at: number, size: number, text: string]

function changed(request: string, [kind, where, size, text]: Change): string {
  const at = Math.floor(where * request.length)
  const [start, part, rest] = [request.slice(0, at), request.slice(at, at + size), request.slice(at + size)]
  if (kind === 'delete') return start + rest
  if (kind === 'insert') return start + text + part + rest
  if (kind === 'double') return start + part + part + rest
  return start + text + rest
}

/** The suite tries the same ones each time; whoever asks for more gets others. */
const RUNS = Number(process.env['HOSTILE_RUNS'] ?? 400)
const seed = process.env['HOSTILE_RUNS'] === undefined ? { seed: 20_261_122 } : {}

test('good requests with mistakes in them are answered or refused, never with a failure, and the connection ends', { skip }, async (t) => {
  const change = fc.tuple(
    fc.constantFrom('delete', 'insert', 'double', 'swap' as const),
    fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.integer({ min: 1, max: 12 }), fc.constantFrom(...NASTY),
  ) as fc.Arbitrary<Change>
  const requests = fc.tuple(fc.constantFrom(...GOOD), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([request, changes]) => changes.reduce(changed, request))
  const attack = async ({ port }: Siege): Promise<void> => {
    await fc.assert(fc.asyncProperty(requests, async (request) => {
      // A head that turned into two may be answered twice.
      for (const status of statuses(await exchange(port, request))) assert.match(status, /^(?:[124]..)$/)
    }), { ...seed, numRuns: RUNS })
  }
  await siege.withstands(t, { warmUp: attack, attack })
})
