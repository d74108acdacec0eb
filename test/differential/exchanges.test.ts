import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { connect, exchange, get, merged, post, withoutDate } from '../tenant/front.ts'
import { EMBEDDINGS, WITH_A_FIELD } from './embeddings.ts'
import { openPairs, share } from './lanes.ts'
import type { Client } from '../tenant/front.ts'
import type { Lane, Pair } from './lanes.ts'
import type { TestContext } from 'node:test'

const ROUTES = path.resolve('test/fixtures/apps/routes.mjs')

const pairs = share((t) => openPairs(t, ROUTES, { ...EMBEDDINGS, ...WITH_A_FIELD }))

/** Of at least 20 ms each. */
const MORE_LOOKS = 100

type Outcome = readonly [answer: unknown, seen: readonly string[]]

let cases = 0
after(() => console.log(`${cases} exchanges were the same as node:http's`))

/**
 * Runs `talk` behind every embedding: it must bring the same as from the routes themselves in the same place, and these
 * must have seen the same as behind node:http, whatever stands in front.
 */
async function alike(t: TestContext, talk: (port: number) => Promise<unknown>, except: object = {}): Promise<unknown> {
  const outcome = async ({ port }: Lane): Promise<Outcome> => {
    await exchange(t, port, get('/log?clear'))
    return [await talk(port), await log(t, port)]
  }
  const outcomes = await Promise.all(pairs().flatMap(({ oracle, ours }) => [outcome(oracle), outcome(ours)]))
  const [first, seen] = outcomes[0] as Outcome
  for (const [index, { name, seesAsOracle, ...lanes }] of pairs().entries()) {
    if (Object.hasOwn(except, name)) continue
    const [[answer, own], ours] = outcomes.slice(2 * index) as [Outcome, Outcome]
    if (seesAsOracle) {
      assert.deepEqual(ours[0], answer, name)
      await seeAlike(t, lanes, [own, ours[1]], name)
    } else assert.deepEqual(ours, [answer, seen], name)
    cases++
  }
  return first
}

/**
 * Two real sockets of TLS: which of their events comes first is a matter of time, and so is when the rest of a large body
 * is decrypted that nobody reads.
 */
async function seeAlike(t: TestContext, { oracle, ours }: Pick<Pair, 'oracle' | 'ours'>, seen: [own: readonly string[], ours: readonly string[]], name: string): Promise<void> {
  const sorted = (log: readonly string[]): string => JSON.stringify([...log].sort())
  for (let looks = 0; sorted(seen[0]) !== sorted(seen[1]) && looks < MORE_LOOKS; looks++) {
    seen = [await log(t, oracle.port), await log(t, ours.port)]
  }
  assert.equal(sorted(seen[1]), sorted(seen[0]), name)
}

/** What the routes logged, once it has not changed for a while. */
async function log(t: TestContext, port: number): Promise<string[]> {
  let before = ''
  for (;;) {
    const now = await exchange(t, port, get('/log'))
    if (now === before) return JSON.parse(/\[.*\]/s.exec(now)?.[0] ?? '') as string[]
    before = now
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The oracle of 20.19 crashes where it reads `headersDistinct` of such a field. */
function readsAnyName(): boolean {
  return Object.getPrototypeOf(new http.IncomingMessage(new net.Socket()).headersDistinct) === null
}

const chunked = (path: string, chunks: readonly string[], trailers = ''): string =>
  `POST ${path} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${
    chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n${trailers}\r\n`

// Whole exchanges: the bytes on the wire are the same as from node:http itself, but for where a body is cut into chunks.

const EXCHANGES: readonly (readonly [string, string])[] = [
  ...['/hello', '/empty', '/chunks', '/length', '/case', '/raw', '/message', '/message-empty', '/latin1-header', '/204', '/205',
    '/304', '/404', '/no-date', '/no-connection', '/no-transfer-encoding', '/no-content-length', '/close',
    '/trailers', '/encodings', '/typed', '/cork', '/flush', '/processing', '/write-continue', '/double-head',
    '/header-after-sent', '/invalid-header', '/properties', '/big', '/res-timeout', '/req-timeout',
    '/socket-timeout', '/silent-timeout', '/all-timeouts', '/active-timeout', '/destroy', '/destroy-mid', '/req-destroy', '/socket-destroy',
    '/end-callback', '/write-after-end'].map((route) => [`GET ${route}`, get(route)] as const),
  ...['/hello', '/chunks', '/length', '/204', '/304', '/big', '/empty'].map((route) => [`HEAD ${route}`, get(route, '', 'HEAD')] as const),
  ['OPTIONS', get('/hello', '', 'OPTIONS')],
  ['DELETE without a body', get('/hello', '', 'DELETE')],
  ['a target with everything in it', get('/head?a=b&c=%20d/../e;f')],
  ['headers of every kind', get('/head', 'X-Twice: 1\r\nx-twice: 2\r\nCookie: a=1\r\nCookie: b=2\r\nSet-Cookie: x\r\nSet-Cookie: y\r\nAge: 1\r\nAge: 2\r\nX-Latin: caf\xe9\r\nX-Empty:\r\n')],
  ...(readsAnyName() ? [['fields named __proto__ and constructor', get('/head', '__proto__: x\r\nconstructor: y\r\n')] as const] : []),
  ['an HTTP/1.0 request', 'GET /hello HTTP/1.0\r\nHost: a.test\r\n\r\n'],
  ['an HTTP/1.0 request that is answered in pieces', 'GET /chunks HTTP/1.0\r\nHost: a.test\r\n\r\n'],
  ['an HTTP/1.0 request for the head as it is seen', 'GET /head HTTP/1.0\r\nHost: a.test\r\n\r\n'],
  ['a body of known length', post('/echo', 'hello body')],
  ['a body of no length', post('/echo', '')],
  ['a chunked body', chunked('/echo', ['one', 'two', 'three'])],
  ['a chunked body of nothing', chunked('/count', [])],
  ['trailers of a request', chunked('/count', ['abc'], 'X-Sum: 3\r\nx-other: y\r\n')],
  ['a large body', post('/echo', 'q'.repeat(700_000))],
  ['a body of binary bytes', post('/echo', Buffer.from(Uint8Array.from({ length: 256 }, (_, at) => at)).toString('latin1'))],
  ['a body read with pauses', post('/paused', 'p'.repeat(300_000))],
  ['a body read with read()', post('/readable', 'text '.repeat(1000))],
  ['a small body that nobody reads', post('/unread', 'ignored')],
  ['Expect: 100-continue', `POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`],
  ['an expectation that cannot be met', get('/hello', 'Expect: 200-maybe\r\n')],
]
for (const [name, text] of EXCHANGES) {
  test(`${name} is answered byte for byte as by node:http`, async (t) => {
    // What an outer field does to a list of duplicates, and what a handler sees of it: see docs/http.md.
    const except = /\/(raw|properties)$/.test(name) ? WITH_A_FIELD : {}
    const answer = (await alike(t, async (port) => merged(await exchange(t, port, text)), except)) as string
    // What breaks off at once is no answer; everything else begins with one.
    assert.match(answer, /destroy$|(silent|req|socket)-timeout$/.test(name) ? /^(HTTP|$)/ : /^HTTP\/1\.1 \d{3} /)
  })
}

test('a keep-alive connection carries request after request, as with node:http', async (t) => {
  await alike(t, async (port) => {
    const client = await connect(t, port)
    for (const route of ['/hello', '/chunks', '/length', '/trailers', '/204', '/304', '/own-keep-alive']) {
      client.socket.write(`GET ${route} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
      await settled(client)
    }
    client.socket.write(get('/empty'))
    return withoutDate(await client.closed)
  })
})

test('early hints go out as node:http writes them', async (t) => {
  await alike(t, (port) => exchange(t, port, get('/hints')))
})

test("a request's timeout does not meet the next request of its connection, nor the time between them", async (t) => {
  await alike(t, async (port) => {
    const client = await connect(t, port)
    client.socket.write('GET /quick-timeout HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await client.until('quick')
    await new Promise((resolve) => setTimeout(resolve, 150))
    client.socket.write(get('/slow'))
    return withoutDate(await client.closed)
  })
})

test('a client that reads slowly is not idle', async (t) => {
  const port = pairs()[0]?.ours.port as number
  await exchange(t, port, get('/log?clear'))
  const client = await connect(t, port)
  client.socket.write(get('/large-timeout'))
  let paused = 0
  client.socket.on('data', () => {
    if (++paused > 60) return
    client.socket.pause()
    setTimeout(() => client.socket.resume(), 40)
  })
  assert.ok((await client.closed).length > 8_000_000)
  assert.deepEqual(await log(t, port), [])
})

test('pipelined requests are answered in order, whichever is ready first', async (t) => {
  await alike(t, async (port) => {
    const routes = ['/big', '/hello', '/flush', '/echo', '/trailers', '/case']
    return merged(await exchange(t, port, routes.map((route) => `GET ${route} HTTP/1.1\r\nHost: a.test\r\n\r\n`).join('') + get('/empty')))
  })
})

test('a request that arrives byte by byte is answered alike', async (t) => {
  await alike(t, async (port) => {
    const client = await connect(t, port)
    client.socket.setNoDelay(true)
    for (const byte of post('/echo', 'slow body')) {
      client.socket.write(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return merged(withoutDate(await client.closed))
  })
})

test('after an answer that did not read the body, the connection carries the next request', async (t) => {
  await alike(t, async (port) => {
    const client = await connect(t, port)
    client.socket.write(`POST /unread HTTP/1.1\r\nHost: a.test\r\nContent-Length: 400000\r\n\r\n${'u'.repeat(1000)}`)
    await client.until('not read')
    client.socket.write('u'.repeat(399_000))
    client.socket.write(get('/hello'))
    return withoutDate(await client.closed)
  })
})

test('a 100 Continue comes before the body is sent, when the application is there to send it', async (t) => {
  await alike(t, async (port) => {
    const client = await connect(t, port)
    client.socket.write('POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n')
    await client.until('100 Continue\r\n\r\n')
    client.socket.write('hello')
    return withoutDate(await client.closed)
  })
})

test('a truncated answer has neither a last chunk nor an end: the connection breaks off', async (t) => {
  const answer = (await alike(t, (port) => exchange(t, port, get('/destroy-mid')))) as string
  assert.match(answer, /4\r\npart\r\n$/)
})

// What an application hears of a request's life: the same events in the same order.

for (const route of ['/observe', '/observe-read', '/observe-early']) {
  const keeping = (body: string): string => `POST ${route} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  for (const [how, text] of [['without a body', get(route)], ['with a body', post(route, 'body')],
    ['with a large body', keeping('b'.repeat(500_000))]] as const) {
    test(`the events of ${route} ${how} come in node:http's order`, async (t) => {
      await alike(t, async (port) => {
        const client = await connect(t, port)
        client.socket.write(text)
        await client.until('\r\n\r\n')
      })
    })
  }
}

for (const [route, text, after] of [
  ['/observe-hang', get('/observe-hang'), ''],
  ['/observe-half', get('/observe-half'), 'half'],
  ['/observe-upload', 'POST /observe-upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nsome', '\r\n\r\n'],
  ['/after-gone', get('/after-gone'), '\r\n\r\n'],
] as const) {
  test(`a client that leaves ${route} is noticed as behind node:http`, async (t) => {
    await alike(t, async (port) => {
      const client = await connect(t, port)
      client.socket.write(text)
      if (after === '') await new Promise((resolve) => setTimeout(resolve, 100))
      else await client.until(after)
      client.socket.resetAndDestroy()
    })
  })
}

test('the socket of a request shows the same facts', async (t) => {
  await alike(t, async (port) => {
    const facts = JSON.parse((await exchange(t, port, get('/socket'))).split('\r\n\r\n')[1] ?? '') as { encrypted: true | null }
    // One class of socket for every client: see docs/http.md.
    return facts.encrypted ? { ...facts, allowHalfOpen: 'by TLS' } : facts
  })
})

/** Until nothing more comes. */
async function settled(client: Client): Promise<void> {
  for (let before = -1; before !== client.text().length || before === 0;) {
    before = client.text().length
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
}
