import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import { subscribe } from '../../src/events.ts'
import { ask, eventually } from './client.ts'
import { CLIENTS } from './http-clients.ts'
import { openHouse, openRuntime } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { EventPayloads } from '../../src/events.ts'
import type { Runtime } from '../../src/runtime.ts'

/** How a client finds the end of an answer. */
const FRAMINGS = ['chunked', 'length', 'close'] as const
type Framing = (typeof FRAMINGS)[number]

/** Begins its answer in the way the path says, and breaks off in the way the query says, once it is asked to. */
const APP = `
const ways = {
  throw() { throw new Error('thrown on purpose') },
  reject() { Promise.reject(new Error('rejected on purpose')) },
  exit() { process.exit(0) },
  spin() { for (;;); },
  hang() {},
}
export default (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://a.test')
  if (pathname === '/') return void res.end('ready')
  if (pathname === '/length') res.setHeader('content-length', '1000')
  if (pathname === '/close') {
    res.removeHeader('transfer-encoding')
    res.setHeader('connection', 'close')
  }
  res.write('begun')
  const way = searchParams.get('way')
  if (way === 'destroy') setTimeout(() => res.destroy(), 50)
  else if (way === 'read') req.on('error', () => {}).resume()
  else setTimeout(ways[way], 50)
}
`

const FETCH_APP = `
export default {
  fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/') return new Response('ready')
    async function* parts() {
      yield new TextEncoder().encode('begun')
      await new Promise((resolve) => setTimeout(resolve, 50))
      throw new Error('thrown by the generator')
    }
    const headers = pathname === '/length' ? { 'content-length': '1000' } : {}
    return new Response(ReadableStream.from(parts()), { headers })
  },
}
`

interface Cause {
  readonly way: string
  readonly code: string
  readonly app?: string
  /** What the server does, once the answer has begun. */
  readonly act?: (runtime: Runtime, port: number) => unknown
  /** Sent behind the head: a request whose body does not come. */
  readonly slow?: true
}

const CAUSES: Readonly<Record<string, Cause>> = {
  'the handler throws': { way: 'throw', code: 'ERR_CONTEXT_EXITED' },
  'a promise is rejected': { way: 'reject', code: 'ERR_CONTEXT_EXITED' },
  'the application exits': { way: 'exit', code: 'ERR_CONTEXT_EXITED' },
  'the application destroys it': { way: 'destroy', code: 'ERR_CONTEXT_EXITED' },
  'its generator throws': { way: 'generator', code: 'ERR_CONTEXT_EXITED', app: FETCH_APP },
  'its event loop stands still': { way: 'spin', code: 'ERR_CONTEXT_DEADLOCK' },
  'its group is evicted and does not drain': { way: 'hang', code: 'ERR_CONTEXT_EXITED', act: (runtime, port) => runtime.evict(`a.test:${port}`) },
  'the runtime is destroyed': { way: 'hang', code: 'ERR_CONTEXT_EXITED', act: (runtime) => runtime.destroy() },
  'the request comes too slowly': { way: 'read', code: 'ERR_READ_TIMEOUT', slow: true },
}

const OPTIONS = { drainTimeout: 300, deadlockTimeout: 500, bodyTimeout: 300, bodyMinRate: 0 } as const

/** Everything that comes for a request until the connection is gone, and how it went. */
async function collect(t: TestContext, port: number, text: string): Promise<{ text: string; error: string | undefined; ms: number }> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  t.after(() => socket.destroy())
  let got = ''
  let error: string | undefined
  let begunAt = 0
  socket.on('error', (thrown: NodeJS.ErrnoException) => { error = thrown.code })
  socket.setEncoding('latin1').on('data', (part: string) => {
    got += part
    begunAt ||= performance.now()
  })
  socket.write(text)
  // Not once(): it rejects with the error that is looked at.
  await new Promise((resolve) => socket.once('close', resolve))
  return { text: got, error, ms: performance.now() - begunAt }
}

function headOf(framing: Framing, { way, slow }: Cause): string {
  // HTTP/1.0 has no chunks: only the end of the connection tells the end of such an answer.
  const version = framing === 'close' ? '1.0' : '1.1'
  const [method, length] = slow === true ? ['POST', 'Content-Length: 10\r\n'] : ['GET', '']
  return `${method} /${framing}?way=${way} HTTP/${version}\r\nHost: a.test\r\n${length}\r\n`
}

/** What is published about requests while the test runs. */
function watchRequests(t: TestContext): { errors: EventPayloads['tenantry:request:error'][]; finished: number[] } {
  const seen = { errors: [] as EventPayloads['tenantry:request:error'][], finished: [] as number[] }
  t.after(subscribe('tenantry:request:error', (payload) => seen.errors.push(payload)))
  t.after(subscribe('tenantry:request:finish', ({ requestId }) => seen.finished.push(requestId)))
  return seen
}

for (const [name, cause] of Object.entries(CAUSES)) {
  test(`an answer breaks off visibly, chunked, with a length or until close: ${name}`, async (t) => {
    for (const framing of FRAMINGS) {
      const { port, runtime } = await openHouse(t, { 'a.test': cause.app ?? APP }, OPTIONS)
      assert.equal((await ask(port, 'a.test')).text, 'ready')
      const { errors, finished } = watchRequests(t)
      const started = new Promise<number>((resolve) => { t.after(subscribe('tenantry:request:start', ({ requestId }) => resolve(requestId))) })
      const broken = collect(t, port, headOf(framing, cause))
      const requestId = await started
      if (cause.act !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        void cause.act(runtime, port)
      }
      const { text, error, ms } = await broken
      const end = text.indexOf('\r\n\r\n')
      assert.match(text.slice(0, end), /^HTTP\/1\.1 200 OK\r\n/)
      assert.equal(text.slice(end + 4), framing === 'chunked' ? '5\r\nbegun\r\n' : 'begun', framing)
      if (framing === 'close') assert.equal(error, 'ECONNRESET', 'the end of the connection looks like the end of the answer')
      assert.ok(ms < 5000, `it stayed open for ${ms} ms`)
      await eventually('it is told', () => errors.length > 0)
      const mine = errors.filter((payload) => payload.requestId === requestId)
      assert.deepEqual(mine.map(({ code, truncated }) => [code, truncated]), [[cause.code, true]])
      assert.ok(!finished.includes(requestId), 'it counts as finished')
      await runtime.destroy()
    }
  })
}

test('the log calls a truncated answer a failed request, and how far its client came with the body', async (t) => {
  const { port, log } = await openHouse(t, { 'a.test': APP }, OPTIONS)
  await ask(port, 'a.test')
  await collect(t, port, `${headOf('chunked', CAUSES['the request comes too slowly'] as Cause)}four`)
  await eventually('it is logged', () => log.some(({ code }) => code === 'ERR_READ_TIMEOUT'))
  const line = log.find(({ code }) => code === 'ERR_READ_TIMEOUT')
  assert.equal(line?.['truncated'], true)
  assert.match((line?.['err'] as { message: string } | undefined)?.message ?? '', /^The body of a request for 'a\.test:\d+' came too slowly: 4 of 10 bytes in \d+ ms$/)
})

/** Not once(): it rejects with the error that such a stream has. */
function closed(stream: http2.ClientHttp2Stream): Promise<void> {
  stream.on('error', () => {})
  return new Promise((resolve) => stream.once('close', resolve))
}

test('HTTP/2: a broken answer is a reset of its stream, and the session goes on', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': APP }, OPTIONS)
  const server = http2.createServer(runtime.handler as unknown as Parameters<typeof http2.createServer>[0])
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => session.destroy())
  for (const path of ['/chunked?way=throw', '/length?way=exit', '/chunked?way=destroy', '/length?way=throw']) {
    const stream = session.request({ ':path': path, ':authority': 'a.test' })
    let text = ''
    stream.setEncoding('utf8').on('data', (part: string) => { text += part })
    await closed(stream)
    assert.deepEqual([text, stream.rstCode], ['begun', http2.constants.NGHTTP2_INTERNAL_ERROR])
  }
  const upload = session.request({ ':path': '/chunked?way=read', ':authority': 'a.test', ':method': 'POST' })
  upload.resume().write('four')
  await closed(upload)
  assert.equal(upload.rstCode, http2.constants.NGHTTP2_INTERNAL_ERROR)
  const whole = session.request({ ':path': '/', ':authority': 'a.test' })
  assert.equal((await whole.setEncoding('utf8').toArray()).join(''), 'ready')
})

for (const [name, report] of Object.entries(CLIENTS)) {
  test(`a client knows that its answer broke off: ${name}`, async (t) => {
    // Whoever asks again at once may meet the context that is just ending, where the front does not see it break off.
    const house = await openHouse(t, { 'a.test': APP, '127.0.0.1': APP }, { ...OPTIONS, lane: 'relay' })
    await ask(house.port, 'a.test')
    // Whoever cannot speak HTTP/1.0 cannot get an answer that only a close ends.
    const framings = name === 'curl' ? FRAMINGS : (['chunked', 'length'] as const)
    for (const framing of framings) {
      for (const way of ['throw', 'exit', 'destroy']) {
        const said = await report(house.port, `/${framing}?way=${way}`)
        if (said === undefined) return t.skip(`${name} is not there`)
        assert.equal(said, 'broken', `${framing}, ${way}`)
      }
    }
  })
}
