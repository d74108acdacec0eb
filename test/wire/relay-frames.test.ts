import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { TenantryError } from '../../src/errors.ts'
import { Kind, PROTOCOL_VERSION } from '../../src/wire/frames.ts'
import { connectEnds, framesOf, openHead, RecordingStream, turn, until } from './ends.ts'
import type { Ends } from './ends.ts'
import type { OpenHead } from '../../src/wire/front-channel.ts'
import type { FrontStream } from '../../src/wire/front-stream.ts'
import type { RecordingRequest } from './ends.ts'
import type { TenantStream } from '../../src/wire/tenant-channel.ts'

const HEAD = 'HTTP/1.1 200 OK\r\n\r\n'

interface Opened {
  readonly stream: FrontStream
  readonly client: RecordingStream
  readonly served: TenantStream
  readonly request: RecordingRequest
}

async function open(ends: Ends, overrides: Partial<OpenHead> = {}): Promise<Opened> {
  const client = new RecordingStream()
  const stream = ends.front.open(openHead(overrides), client)
  const before = ends.world.requests.length
  await until(() => ends.world.requests.length > before)
  const { stream: served, listener: request } = ends.world.requests[before] as Ends['world']['requests'][number]
  return { stream, client, served, request }
}

test('a request head arrives with every field it was opened with', async (t) => {
  const ends = connectEnds(t)
  const rawHeaders = ['Host', 'a.test', 'X-Twice', '1', 'x-twice', '2']
  await open(ends, { connection: 7, method: 'PATCH', url: '/a?b', rawHeaders, flags: 11, mount: 2, end: false })
  assert.deepEqual(ends.world.requests[0]?.head, {
    connection: 7, method: 'PATCH', url: '/a?b', rawHeaders, flags: 11, mount: 2, hasBody: true,
  })
})

test('head, body and end of an answer made in one turn arrive as one frame in one message', async (t) => {
  const ends = connectEnds(t)
  const { stream, served, client } = await open(ends)
  served.head(HEAD)
  served.write('hello')
  served.end(undefined)
  await until(() => client.heard.length > 0)
  assert.deepEqual(client.heard, [['head', HEAD, 'hello', true]])
  assert.deepEqual(ends.toFront, [[Kind.HEAD, stream.id, 1, 'hello', HEAD]])
  assert.equal(ends.front.size, 0)
  assert.equal(ends.tenant.size, 0)
})

test('frames of one turn leave in one message, those of the next turn in another', async (t) => {
  const ends = connectEnds(t)
  const first = await open(ends)
  const second = await open(ends)
  for (const { served } of [first, second]) served.head(HEAD)
  await turn()
  for (const { served } of [first, second]) served.end(undefined)
  await until(() => ends.front.size === 0)
  assert.deepEqual(ends.toFront.map((batch) => framesOf(batch).length), [2, 2])
})

test('a body in pieces keeps its order after the head, and its trailers come last', async (t) => {
  const ends = connectEnds(t)
  const { served, client } = await open(ends)
  served.head(HEAD)
  served.write('a')
  served.write(Buffer.from('b'))
  served.write('c')
  served.end('X-Sum: 3\r\n')
  await until(() => ends.front.size === 0)
  const text = client.heard.map(([name, value, piece]) =>
    name === 'head' ? String(piece) : name === 'data' ? Buffer.from(value as Uint8Array).toString() : value)
  assert.deepEqual(text, ['a', 'b', 'c', 'X-Sum: 3\r\n'])
  assert.deepEqual(client.heard.map(([name]) => name), ['head', 'data', 'data', 'end'])
})

test('a request body arrives piece by piece, with its raw trailers', async (t) => {
  const ends = connectEnds(t)
  const { stream, served, request } = await open(ends, { end: false })
  stream.write(Buffer.from('one'))
  await turn()
  stream.write(Buffer.from('two'))
  stream.end(['X-T', '1'])
  await until(() => request.heard.some(([name]) => name === 'end'))
  assert.deepEqual(request.heard.map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value).toString() : value]), [
    ['data', 'one'], ['data', 'two'], ['end', ['X-T', '1']],
  ])
  served.head(HEAD)
  served.end(undefined)
  await until(() => ends.front.size === 0)
})

test('informational heads arrive before the head, each by itself', async (t) => {
  const ends = connectEnds(t)
  const { served, client } = await open(ends)
  served.info('HTTP/1.1 100 Continue\r\n\r\n')
  served.info('HTTP/1.1 103 Early Hints\r\n\r\n')
  served.head(HEAD)
  served.end(undefined)
  await until(() => ends.front.size === 0)
  assert.deepEqual(client.heard.map(([name]) => name), ['info', 'info', 'head'])
})

test('a stream stays known until both directions have ended, whichever ends first', async (t) => {
  const ends = connectEnds(t)
  const early = await open(ends, { end: false })
  early.served.head(HEAD)
  early.served.end(undefined)
  await until(() => early.client.heard.length === 1)
  assert.equal(ends.front.size, 1)
  assert.equal(ends.tenant.size, 1)
  early.stream.end(undefined)
  await until(() => ends.tenant.size === 0)
  assert.equal(ends.front.size, 0)
})

test('a reset by the front reaches the application, and what was already on the way back is ignored', async (t) => {
  const ends = connectEnds(t)
  const { stream, served, client, request } = await open(ends)
  served.head(HEAD)
  stream.reset('client-gone')
  await until(() => request.heard.length > 0)
  await turn()
  assert.deepEqual(request.heard, [['reset', 'client-gone']])
  assert.deepEqual(client.heard, [])
  assert.deepEqual(ends.context.heard, [])
})

test('a reset by the application reaches the front, and a request body still on the way is ignored', async (t) => {
  const ends = connectEnds(t)
  const { stream, served, client, request } = await open(ends, { end: false })
  served.reset('destroyed')
  stream.write(Buffer.from('late'))
  await until(() => client.heard.length > 0)
  await turn()
  assert.deepEqual(client.heard, [['reset', 'destroyed']])
  assert.deepEqual(request.heard, [])
  assert.equal(ends.front.size, 0)
})

test('each stream hears its own frames only', async (t) => {
  const ends = connectEnds(t)
  const opened = await Promise.all([open(ends), open(ends), open(ends)])
  for (const [index, { stream }] of [...opened.entries()].reverse()) {
    const { stream: served } = ends.world.requests.find((one) => one.stream.id === stream.id) as Ends['world']['requests'][number]
    served.head(HEAD)
    served.write(`body ${index}`)
    served.end(undefined)
  }
  await until(() => ends.front.size === 0)
  assert.deepEqual(opened.map(({ client }) => client.heard[0]?.[2]), ['body 0', 'body 1', 'body 2'])
})

test('a connection is made known before its first request and forgotten once, from either side', async (t) => {
  const ends = connectEnds(t)
  let closed = 0
  const facts = { remoteAddress: '192.0.2.1', remotePort: 1, remoteFamily: 'IPv4', localAddress: '192.0.2.2', localPort: 2,
    encrypted: false, servername: undefined, alpnProtocol: undefined, tlsProtocol: undefined, keepAliveTimeout: 5000, maxRequestsPerSocket: 0 }
  const first = ends.front.connect(facts, () => closed++)
  const second = ends.front.connect(facts, () => closed++)
  await open(ends, { connection: first })
  assert.deepEqual(ends.world.heard[0], ['connection', first, facts])
  ends.front.disconnect(first)
  ends.front.disconnect(first)
  ends.tenant.disconnect(second)
  ends.tenant.disconnect(second)
  await until(() => closed > 0)
  await turn()
  assert.equal(closed, 1)
  assert.deepEqual(ends.world.heard.filter(([name]) => name === 'disconnect'), [['disconnect', first]])
})

test('a context that speaks another version of the protocol is refused', async (t) => {
  const ends = connectEnds(t)
  ends.port.postMessage([Kind.HELLO, PROTOCOL_VERSION + 1])
  await until(() => ends.context.heard.length > 0)
  assert.deepEqual(ends.context.heard, [['violation', `a malformed frame of kind ${Kind.HELLO}`]])
})

test('hello, load, ready, failed, refusals and drain arrive as they were sent', async (t) => {
  const ends = connectEnds(t)
  const requests = { handlerTimeout: 1, bodyLimit: 2, maxInFlight: 3, maxQueue: 4 }
  const pace = {
    headerTimeout: 1, headerMaxTimeout: 2, headerMinRate: 3, bodyTimeout: 4, bodyMaxTimeout: 5, bodyMinRate: 6, sendTimeout: 7, queueTimeout: 8,
  }
  const mounts = [{ path: '', entry: '/a.mjs' }]
  const request = { mounts, kind: 'auto' as const, preload: [], directory: '/', label: 'a', held: { requests, pace }, environment: { A: '1' } }
  const refusal = { code: 'ERR_MISDIRECTED', message: 'm', host: 'b.test', peer: '::1', method: 'GET', outcome: 'refused' as const }
  ends.tenant.hello()
  ends.tenant.ready(['node', 'fetch'])
  ends.tenant.failed({ name: 'TypeError', message: 'm', code: 'E', stack: undefined })
  ends.tenant.refused(refusal)
  ends.front.load(request)
  ends.front.drain()
  await until(() => ends.context.heard.length === 4 && ends.world.heard.length === 2)
  assert.deepEqual(ends.context.heard, [
    ['hello'], ['ready', ['node', 'fetch']], ['failed', { name: 'TypeError', message: 'm', code: 'E', stack: undefined }],
    ['refused', refusal],
  ])
  assert.deepEqual(ends.world.heard, [['load', request], ['drain']])
})

test('when the context is gone every open stream fails with its error, and no further one opens', async (t) => {
  const ends = connectEnds(t)
  const opened = [await open(ends), await open(ends)]
  const error = new TenantryError('ERR_CONTEXT_EXITED', 'gone')
  ends.front.close(error)
  ends.front.close(new TenantryError('ERR_PROTOCOL', 'second'))
  for (const { client } of opened) assert.deepEqual(client.heard, [['failure', 'ERR_CONTEXT_EXITED']])
  assert.equal(ends.front.size, 0)
  assert.throws(() => ends.front.open(openHead(), new RecordingStream()), error)
})

test("a pooled Buffer ships its own bytes and nothing of the slab it lies in", async (t) => {
  const ends = connectEnds(t)
  const { stream, served, client, request } = await open(ends, { end: false })
  const pooled = Buffer.from('secret').subarray(0, 3)
  assert.ok(pooled.buffer.byteLength > 3, 'this Buffer lies in a slab')
  stream.write(pooled)
  served.head(HEAD)
  served.write(pooled)
  await until(() => request.heard.length > 0 && client.heard.length > 0)
  for (const piece of [request.heard[0]?.[1], client.heard[0]?.[2]] as Uint8Array[]) {
    assert.equal(Buffer.from(piece).toString(), 'sec')
    assert.equal(piece.buffer.byteLength, 3)
  }
  assert.equal(pooled.toString(), 'sec')
})

test('a large piece is moved, not shared: the sender may reuse its memory at once', async (t) => {
  const ends = connectEnds(t)
  const { stream, request } = await open(ends, { end: false })
  const bytes = Buffer.alloc(40_000, 1)
  stream.write(bytes)
  bytes.fill(2)
  await until(() => request.heard.length > 0)
  const piece = request.heard[0]?.[1] as Uint8Array
  assert.equal(piece.byteLength, 40_000)
  assert.equal(piece.buffer.byteLength, 40_000)
  assert.ok(piece.every((byte) => byte === 1))
})
