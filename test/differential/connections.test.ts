import http from 'node:http'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, exchange, get, listen, merged, withoutDate } from '../tenant/front.ts'
import { openRuntime } from './lanes.ts'
import type { Scope } from './lanes.ts'

const APP = path.resolve('test/fixtures/apps/connections.mjs')
const IDLE_APP = path.resolve('test/fixtures/apps/connections-timeout.mjs')

interface Shape {
  readonly options?: http.ServerOptions
  readonly server?: (server: http.Server) => void
  /** A framework around the application has set a field. */
  readonly outer?: boolean
}

interface Pair {
  readonly bare: number
  readonly behind: number
}

/** The same application on a bare server and behind Tenantry's handler, on servers with the same settings. */
async function open(t: Scope, { options = {}, server: shape = () => {}, outer = false }: Shape = {}): Promise<Pair> {
  const { default: application } = (await import(`${pathToFileURL(APP).href}?${Math.random()}`)) as { default: http.Server }
  const bare: http.RequestListener = (req, res) => void application.emit('request', req, res)
  const [first, second] = await Promise.all([bare, openRuntime(t, APP).handler].map((handler) => {
    const server = http.createServer(options, (req, res) => {
      if (outer) res.setHeader('X-Outer', 'set')
      handler(req, res)
    })
    shape(server)
    return listen(t, server)
  }))
  return { bare: first as number, behind: second as number }
}

/** What `talk` brings and what the application logged, alike on both; returns what it brought. */
async function alike<Result>(t: Scope, { bare, behind }: Pair, talk: (port: number) => Promise<Result>): Promise<Result> {
  const [expected, actual] = await Promise.all([bare, behind].map(async (port) => {
    // The context has started before anything is timed; while it starts, a timeout may close connections.
    while (await exchange(t, port, get('/log')) === '');
    const result = await talk(port)
    const [, log] = (await exchange(t, port, get('/log'))).split('\r\n\r\n')
    return [result, log] as const
  }))
  assert.deepEqual(actual, expected)
  return (expected as readonly [Result, unknown])[0]
}

const LATIN = ['/flush', '/flush-end', '/flush-bytes', '/nothing', '/text', '/text-utf8', '/text-alias', '/text-latin1', '/text-base64',
  '/bytes', '/long-text', '/chunked-text', '/chunked-bytes', '/empty-write', '/explicit-chunked', '/length', '/corked', '/message', '/204',
  '/trailer-latin']

for (const outer of [false, true]) {
  test(`characters above 0x7F in a head go out as the bytes that node:http makes of them${outer ? ', also beside fields of an outer framework' : ''}`, async (t) => {
    const pair = await open(t, { outer })
    const seen = new Set<string>()
    for (const route of LATIN) {
      for (const method of ['GET', 'HEAD']) {
        const text = await alike(t, pair, async (port) => merged(await exchange(t, port, get(route, '', method))))
        assert.match(text, /caf\xe9 \xfc|caf\xc3\xa9 \xc3\xbc|Tr\xe8s|Tr\xc3\xa8s/, route)
        seen.add(text.includes('caf\xe9') ? 'latin-1' : 'UTF-8')
      }
    }
    assert.deepEqual([...seen].sort(), ['UTF-8', 'latin-1'], 'node:http itself uses both')
    const pipelined = LATIN.map((route) => `GET ${route} HTTP/1.1\r\nHost: a.test\r\n\r\n`).join('') + get('/text')
    await alike(t, pair, async (port) => merged(await exchange(t, port, pipelined)))
  })
}

/** All that comes on a connection that the client keeps, and whether the server has closed it. */
async function keep(t: Scope, port: number, ...routes: readonly string[]): Promise<readonly [text: string, closed: boolean]> {
  const client = await connect(t, port)
  let closed = false
  void client.closed.then(() => { closed = true })
  for (const route of routes) {
    client.socket.write(`GET ${route} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    for (let before = -1; before !== client.text().length || before === 0;) {
      before = client.text().length
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  return [withoutDate(client.text()), closed]
}

for (const outer of [false, true]) {
  test(`an answer closes its connection exactly where node:http does, with a Connection field or without${outer ? ', also beside fields of an outer framework' : ''}`, async (t) => {
    const pair = await open(t, { outer })
    const ends = new Map<string, boolean>()
    for (const route of ['/not-alive', '/not-alive-silent', '/not-alive-chunked', '/not-alive-late', '/alive-silent', '/alive-said', '/unframed',
      '/unframed-said', '/unframed-304']) {
      const [, closed] = await alike(t, pair, (port) => keep(t, port, route))
      ends.set(route, closed)
    }
    assert.deepEqual([ends.get('/not-alive-silent'), ends.get('/alive-silent')], [true, false])
  })
}

test('maxRequestsPerSocket is announced and kept as by node:http', async (t) => {
  const pair = await open(t, { server: (server) => { server.maxRequestsPerSocket = 2 } })
  const [text] = await alike(t, pair, (port) => keep(t, port, '/hello', '/hello', '/hello'))
  assert.match(text, /Keep-Alive: timeout=5, max=2[\s\S]*Connection: close[\s\S]*503 Service Unavailable/)
})

test("an idle timeout of the front's server ends a request as node:http ends it", async (t) => {
  const pair = await open(t, { server: (server) => { server.timeout = 120 } })
  for (const route of ['/hang', '/slow']) await alike(t, pair, (port) => exchange(t, port, get(route)))
})

test("a request timeout of the front's server is a 408 as node:http sends it", async (t) => {
  const pair = await open(t, { options: { requestTimeout: 200, headersTimeout: 200, connectionsCheckingInterval: 30 } })
  const text = await alike(t, pair, (port) => exchange(t, port, 'POST /hang HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf'))
  assert.match(text, /^HTTP\/1\.1 408 /)
})

test('an idle timeout of the application\'s own server holds for its connections as on a bare one', async (t) => {
  const { default: application } = (await import(pathToFileURL(IDLE_APP).href)) as { default: http.Server }
  const pair = {
    bare: await listen(t, application),
    behind: await listen(t, http.createServer(openRuntime(t, IDLE_APP).handler)),
  }
  for (const route of ['/hang', '/slow', '/slow-heard']) await alike(t, pair, (port) => exchange(t, port, get(route)))
  assert.match(await alike(t, pair, (port) => exchange(t, port, get('/slow-heard'))), /slow$/)
})

for (const how of ['closes', 'resets'] as const) {
  test(`a client that ${how} its connection while its upload is held back is noticed where node:http notices it`, async (t) => {
    const pair = await open(t)
    const routes = ['/stalls', '/stalls-begun', '/stalls-reads', '/stalls-writes']
    const log = await alike(t, pair, async (port) => {
      const clients = await Promise.all(routes.map(async (route) => {
        const { socket } = await connect(t, port)
        socket.write(`POST ${route} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n`)
        socket.write(Buffer.alloc(4 * 1024 ** 2))
        return socket
      }))
      await sleep(300)
      for (const socket of clients) {
        if (how === 'closes') socket.destroy()
        else socket.resetAndDestroy()
      }
      await sleep(1000)
      const [, lines] = (await exchange(t, port, get('/log'))).split('\r\n\r\n')
      return (JSON.parse(lines as string) as string[]).toSorted()
    })
    assert.deepEqual(log, ['/stalls-reads close', '/stalls-writes close'])
  })
}
