import fc from 'fast-check'
import { connect, exchange } from '../tenant/front.ts'
import type { Lane, Scope } from './lanes.ts'

/** One thing that a handler does: a method of its response, or a word that test/fixtures/apps/program.mjs knows. */
export type Step = readonly [name: string, ...args: unknown[]]

/** A handler as data. */
export interface Program {
  /** `first`: the steps begin when the body has been read; `along`: at once, while it is read. */
  readonly read: 'none' | 'along' | 'first'
  readonly steps: readonly Step[]
}

/** A request as a client writes it: its bytes (one character each), in packets. */
export type Packets = readonly string[]

/** What a handler noted of one request. */
export interface Sighting {
  readonly head: { readonly url: string }
}

/** What came of a program and a request. */
export interface Outcome {
  /** What the client got, byte for byte apart from Date's value. */
  readonly answer: string
  /** Of each request, what the handler saw of it and of its response, and what its steps threw. */
  readonly seen: readonly Sighting[]
}

const PATIENCE = 5000

const BYE = 'GET /bye HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'

/** Sends the request and, if the connection is still there when its answer is complete, a last one that closes it. */
export async function run(t: Scope, { port }: Lane, program: Program, packets: Packets): Promise<Outcome> {
  await control(t, port, program)
  const client = await connect(t, port)
  client.socket.setNoDelay(true)
  for (const packet of packets) {
    client.socket.write(packet, 'latin1')
    await new Promise((resolve) => setImmediate(resolve))
  }
  let closed = false
  void client.closed.then(() => { closed = true })
  // A framework may answer for itself; the handler would have been called before.
  await settled(t, port, () => closed || /^HTTP\/1\.1 [2-9]/m.test(client.text()))
  // Not before: whether a connection that the answer closes still takes a second request is a matter of time.
  client.socket.write(BYE)
  const timer = setTimeout(() => client.socket.destroy(), PATIENCE)
  const text = await client.closed
  clearTimeout(timer)
  return { answer: comparable(text), seen: (await settled(t, port, () => true)).map((record) => watched(record, program)) }
}

/** What a request goes through after an answer that did not wait for its body is a matter of time: see docs/http.md. */
function watched(record: Sighting, { read }: Program): Sighting {
  const unsure: object = read === 'first' ? {} : { req: [], body: '', trailers: [], complete: true }
  return { ...record, ...unsure }
}

/** Date's value is the time's. */
function comparable(text: string): string {
  return text.replace(/^Date: .*$/gim, 'Date: now')
}

/** What the handler saw, once it was called or never will be, and no response is open any more. */
async function settled(t: Scope, port: number, refused: () => boolean): Promise<Sighting[]> {
  for (let tries = 0; tries < 300; tries++) {
    const isRefused = refused()
    const { open, seen } = await control(t, port)
    if (open === 0 && (seen.length > 0 || isRefused)) return seen
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('a response was never closed')
}

async function control(t: Scope, port: number, program?: Program): Promise<{ open: number; seen: Sighting[] }> {
  const body = program === undefined ? '' : JSON.stringify(program)
  const answer = await exchange(t, port, `${program === undefined ? 'GET' : 'POST'} /control HTTP/1.1\r\nHost: a.test\r\n`
    + `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${Buffer.from(body).toString('latin1')}`)
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { open: number; seen: Sighting[] }
}

// Handlers.

const names = fc.constantFrom('X-A', 'x-a', 'X-B', 'Set-Cookie', 'set-cookie', 'Content-Type', 'Vary', 'ETag', 'Link', 'age')
const framing = fc.constantFrom<readonly [string, string]>(['Transfer-Encoding', 'chunked'], ['Connection', 'close'], ['connection', 'keep-alive'], ['Trailer', 'X-Sum'], ['Date', 'today'],
  ['Keep-Alive', 'timeout=9'])
/** Latin-1 without what no field may hold. */
const latin1 = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).filter((code) => code !== 0x7f)
  .map((code) => String.fromCharCode(code)), maxLength: 8 }).map((text) => text.trim())
/** Now and then one that node:http refuses. */
const values = fc.oneof({ weight: 9, arbitrary: latin1 }, { weight: 1, arbitrary: fc.constantFrom('a\r\nb', '\u20ac', '') })
const field = fc.oneof({ weight: 4, arbitrary: fc.tuple(names, values) }, { weight: 1, arbitrary: framing })
const statuses = fc.constantFrom(200, 200, 200, 201, 204, 205, 206, 299, 301, 304, 404, 500, 503, 999, 99)
const text = fc.constantFrom('', 'a', 'abc', 'caf\xe9', 'line\r\n\r\nline', 'z'.repeat(3000))
const encoded = fc.constantFrom(['caf\xe9', 'utf8'], ['caf\xe9', 'latin1'], ['YWJj', 'base64'], ['616263', 'hex'], ['caf\xe9', 'utf16le'])

/** Valid ones only: a writeHead(204) that throws leaves node:http without a body for whatever comes after it. */
const written = fc.array(fc.oneof({ weight: 4, arbitrary: fc.tuple(names, latin1) }, { weight: 1, arbitrary: framing }), { maxLength: 4 })
const writeHead: fc.Arbitrary<Step> = fc.oneof(
  statuses.map((status): Step => ['writeHead', status]),
  fc.tuple(statuses, fc.constantFrom('Fine', '', 'caf\xe9', 'bad\nline')).map(([status, message]): Step => ['writeHead', status, message]),
  fc.tuple(statuses, written).map(([status, fields]): Step => ['writeHead', status, Object.fromEntries(fields)]),
  fc.tuple(statuses, written).map(([status, fields]): Step => ['writeHead', status, fields.flat()]),
  fc.tuple(statuses, written).map(([status, fields]): Step => ['writeHead', status, 'Why not', fields.flat()]),
)

const headSteps: fc.Arbitrary<Step> = fc.oneof(
  field.map(([name, value]): Step => ['setHeader', name, value]),
  fc.tuple(names, fc.array(values, { maxLength: 3 })).map(([name, list]): Step => ['setHeader', name, list]),
  field.map(([name, value]): Step => ['appendHeader', name, value]),
  fc.constantFrom('X-A', 'Date', 'Content-Length').map((name): Step => ['removeHeader', name]),
  statuses.map((status): Step => ['status', status]),
  fc.constantFrom('Fine', '').map((message): Step => ['message', message]),
  fc.constantFrom<Step>(['noDate'], ['noKeepAlive'], ['look']),
)

/** Before the head only: behind it, node:http writes them into the body. */
const infoSteps: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>(['writeContinue'], ['writeProcessing']),
  fc.constant<Step>(['writeEarlyHints', { link: ['</a.css>; rel=preload', '</b.css>; rel=preload'], 'x-trace': 'id' }]),
)

const bodySteps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: text.map((part): Step => ['write', part]) },
  encoded.map((parts): Step => ['write', ...parts]),
  text.map((part): Step => ['bytes', part]),
  text.map((part): Step => ['writeThen', part]),
  // No cork: from Node 22 on, node:http writes the last chunk before what was corked, when a part of it is empty.
  fc.constantFrom<Step>(['flushHeaders'], ['wait'], ['look']),
  fc.constant<Step>(['addTrailers', { 'X-Sum': '1', 'x-other': 'caf\xe9' }]),
)

const lastSteps: fc.Arbitrary<readonly Step[]> = fc.oneof(
  { weight: 4, arbitrary: text.map((part): Step[] => [['end', part]]) },
  { weight: 4, arbitrary: fc.constant<Step[]>([['end']]) },
  { weight: 2, arbitrary: text.map((part): Step[] => [['endThen', part]]) },
  { weight: 1, arbitrary: fc.constantFrom<Step>(['destroy'], ['fail'], ['destroyReq'], ['failReq'], ['destroySocket'])
    .map((step): Step[] => [['wait'], step]) },
)

/** Steps of every kind mostly where they belong, now and then where they do not; always with an end of some kind. */
export const programs: fc.Arbitrary<Program> = fc.record({
  read: fc.constantFrom<Program['read']>('none', 'along', 'first', 'first'),
  steps: fc.tuple(
    fc.array(fc.oneof({ weight: 4, arbitrary: headSteps }, { weight: 1, arbitrary: infoSteps }), { maxLength: 5 }),
    fc.option(writeHead, { nil: undefined }),
    fc.array(fc.oneof({ weight: 6, arbitrary: bodySteps }, { weight: 1, arbitrary: headSteps }, { weight: 1, arbitrary: writeHead }), { maxLength: 5 }),
    lastSteps,
    fc.array(bodySteps, { maxLength: 1 }),
    fc.boolean(),
  ).map(([head, written, body, last, late, announced]): Step[] => {
    // Whether a write to a destroyed socket calls back differs between Nodes, and on Node 26 by the tick.
    const ends = last.some(([name]) => name.startsWith('end'))
    const before = [...head, ...(written === undefined ? [] : [written])]
    // A writeHead(204) that throws leaves node:http without a body for the next one, and without an end to its answer.
    const once = /"writeHead",(?:204|304)/.test(JSON.stringify([before, body]))
    const kept = body.filter(([name]) => !(once && name === 'writeHead'))
    const rest = [...kept, ...last]
    // An answer that is framed in two ways is refused on purpose, and a step that throws writes nothing.
    const single = !/"Transfer-Encoding"[,:]"chunked"|bad/.test(JSON.stringify([before, rest]))
    return announced && single ? [announce(rest), ...before, ...rest] : [...before, ...rest, ...late.filter(([name]) => ends || name !== 'writeThen')]
  }),
})

/** The true Content-Length: a wrong one is cut off on purpose. */
function announce(steps: readonly Step[]): Step {
  const sizes = steps.map(([name, part, encoding]) =>
    typeof part !== 'string' || !['write', 'writeThen', 'bytes', 'end', 'endThen'].includes(name) ? 0
      : Buffer.byteLength(part, name === 'bytes' ? 'latin1' : (encoding as BufferEncoding | undefined)))
  return ['setHeader', 'Content-Length', sizes.reduce((sum, size) => sum + size, 0)]
}

// Requests.

const methods = fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'M-SEARCH', 'TRACE', 'PURGE')
const targets = fc.oneof(
  fc.string({ unit: fc.constantFrom(...Array.from('abz019/.;:@!$&()*+,=-_~%?[]|^{}"\'')), maxLength: 20 }).map((path) => `/${path}`),
  fc.constantFrom('/', '//b.test/x', '/a?b#c', '/../..', '/%00', 'http://a.test/absolute?x', 'HTTP://A.test', '*', '/caf\xe9'),
)
const requestNames = fc.oneof(
  fc.constantFrom('Cookie', 'cookie', 'X-Twice', 'x-twice', 'Accept', 'Set-Cookie', 'Age', 'age', 'Referer', 'User-Agent', '__proto__',
    'constructor', 'X-Forwarded-For', 'Keep-Alive', 'TE', 'Via'),
  fc.string({ unit: fc.constantFrom(...Array.from('abcXYZ019-_.!#$%&\'*+^`|~')), minLength: 1, maxLength: 10 }).map((name) => `x-${name}`),
)
const requestFields = fc.array(fc.tuple(requestNames, fc.constantFrom(':', ': ', ':\t'), latin1), { maxLength: 6 })
  .map((fields) => fields.map(([name, colon, value]) => `${name}${colon}${value}\r\n`).join(''))

const content = fc.constantFrom('', 'a', 'hello', '\0\xff\r\n', 'b'.repeat(5000))
const bodies: fc.Arbitrary<{ fields: string; text: string }> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ fields: '', text: '' }) },
  content.map((body) => ({ fields: `Content-Length: ${body.length}\r\n`, text: body })),
  fc.tuple(fc.array(content.filter((chunk) => chunk !== ''), { maxLength: 4 }), fc.constantFrom('', ';ext', ';a="b"'),
    fc.constantFrom('', 'X-Sum: 1\r\n', 'x-one: caf\xe9\r\nX-Two:\r\n')).map(([chunks, extension, trailers]) => ({
    fields: 'Transfer-Encoding: chunked\r\n',
    text: `${chunks.map((chunk) => `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`).join('')}0\r\n${trailers}\r\n`,
  })),
)

/** One request of any kind. */
export const requests: fc.Arbitrary<Packets> = fc.record({
  method: methods,
  target: targets,
  version: fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
  connection: fc.constantFrom('', '', 'Connection: close\r\n', 'Connection: keep-alive\r\n', 'connection: Keep-Alive, X-Hop\r\n'),
  before: requestFields,
  after: requestFields,
  body: bodies,
  cuts: fc.array(fc.nat({ max: 400 }), { maxLength: 4 }),
}).map(({ method, target, version, connection, before, after, body, cuts }) => {
  const all = `${method} ${target} HTTP/${version}\r\n${before}Host: a.test\r\n${connection}${body.fields}${after}\r\n${body.text}`
  const places = [...new Set(cuts)].sort((a, b) => a - b).filter((cut) => cut > 0 && cut < all.length)
  return [0, ...places].map((from, index) => all.slice(from, places[index] ?? all.length))
})
