import http2 from 'node:http2'
import path from 'node:path'
import { once } from 'node:events'
import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import { TLS } from './embeddings.ts'
import { importFresh, openRuntime, share } from './lanes.ts'
import type { AddressInfo } from 'node:net'
import type { Scope } from './lanes.ts'

// The oracle is the same handler on Node's compatibility API, whose requests and responses are HTTP/2's own.
// Answers that break off are not compared: there they end cleanly or never, see docs/http.md.

type Listener = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void

const SERVERS: Readonly<Record<string, (listener: Listener) => http2.Http2Server>> = {
  h2c: (listener) => http2.createServer(listener),
  h2: (listener) => http2.createSecureServer(TLS, listener),
}

const ROUTES = path.resolve('test/fixtures/apps/routes.mjs')

let cases = 0
after(() => console.log(`${cases} exchanges were the same as node:http2's`))

async function connect(t: Scope, name: string, listener: unknown): Promise<http2.ClientHttp2Session> {
  const server = (SERVERS[name] as (typeof SERVERS)[string])(listener as Listener)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const session = http2.connect(`${name === 'h2' ? 'https' : 'http'}://127.0.0.1:${port}`, { rejectUnauthorized: false, servername: 'a.test' })
  t.after(() => session.destroy())
  return session
}

interface Answer {
  /** Everything that a client sees of one stream, in its order. */
  readonly seen: readonly unknown[]
  /** Apart, since node:http in the context knows the length of an answer that is ended at once, and HTTP/2 needs none. */
  readonly length: string | undefined
}

async function ask(session: http2.ClientHttp2Session, method: string, route: string, body: string | undefined): Promise<Answer> {
  const stream = session.request({ ':method': method, ':path': route, ':authority': 'a.test' }, { endStream: body === undefined, waitForTrailers: true })
  const seen: unknown[] = []
  let text = ''
  let length: string | undefined
  for (const event of ['headers', 'response', 'trailers']) {
    stream.on(event, (headers: http2.IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
      length ??= headers['content-length']
      const fields = raw.map((field, at) => raw[at - 1] === 'date' ? 'now' : field)
      seen.push([event, fields.filter((_, at) => fields[at & ~1] !== 'content-length')])
    })
  }
  stream.setEncoding('latin1').on('data', (part: string) => { text += part })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-up': '3' }))
  stream.on('error', () => {})
  const closed = new Promise((resolve) => stream.once('close', resolve))
  if (body !== undefined) stream.end(body, 'latin1')
  await closed
  return { seen: [...seen, text, stream.rstCode], length }
}

for (const name of Object.keys(SERVERS)) {
  const sessions = share(async (t) => await Promise.all([
    connect(t, name, await importFresh(ROUTES)),
    connect(t, name, openRuntime(t, ROUTES).handler),
  ]))
  for (const [method, route, body] of [
    ...['/hello', '/empty', '/chunks', '/length', '/case', '/latin1-header', '/204', '/205', '/304', '/404', '/no-date', '/no-content-length',
      '/trailers', '/encodings', '/typed', '/cork', '/flush', '/hints', '/write-continue', '/header-after-sent',
      '/end-callback', '/big', '/unread', '/nowhere'].map((route) => ['GET', route] as const),
    ...['/hello', '/chunks', '/length', '/204', '/304', '/big', '/empty'].map((route) => ['HEAD', route] as const),
    ['OPTIONS', '/hello'], ['DELETE', '/hello'],
    ...['', 'body', 'q'.repeat(300_000), '\xe9\0\xff'].flatMap((body) =>
      ['/echo', '/paused', '/readable', '/unread'].map((route) => ['POST', route, body] as const)),
  ] as readonly (readonly [string, string, string?])[]) {
    test(`${name}: ${method} ${route}${body === undefined ? '' : ` with ${body.length} bytes`} is answered as by node:http2`, async () => {
      const [expected, actual] = await Promise.all(sessions().map((session) => ask(session, method, route, body)))
      assert.deepEqual(actual?.seen, expected?.seen)
      if (expected?.length !== undefined) assert.equal(actual?.length, expected.length)
      cases++
    })
  }
}
