import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { PieceMemory } from '../../src/wire/piece-memory.ts'
import { FRAME_LENGTH, Kind, MAX_HEAD, MAX_PIECE, WINDOW } from '../../src/wire/frames.ts'
import { FrontChannel } from '../../src/wire/front-channel.ts'
import { connectEnds, openHead, RecordingContext, RecordingStream, turn, until } from './ends.ts'
import type { FrontStream } from '../../src/wire/front-stream.ts'

const HEAD = 'HTTP/1.1 200 OK\r\n\r\n'

interface Victim {
  readonly front: FrontChannel
  readonly context: RecordingContext
  readonly client: RecordingStream
  readonly stream: FrontStream
  readonly closed: FrontStream
}

/** A front with one stream closed and one open, always under the same ids. */
function victim(headSeen: boolean): Victim {
  const context = new RecordingContext()
  const front = new FrontChannel({ movesMemory: true, memory: new PieceMemory(), post() {}, close() {} }, context)
  const closed = front.open(openHead(), new RecordingStream())
  closed.reset('client-gone')
  const client = new RecordingStream()
  const stream = front.open(openHead({ end: false }), client)
  if (headSeen) front.receive([Kind.HEAD, stream.id, 0, undefined, HEAD])
  client.heard.length = 0
  return { front, context, client, stream, closed }
}

const { closed: { id: CLOSED }, stream: { id: OPENED } } = victim(false)

const window = (bytes: number): unknown[] =>
  Array.from({ length: bytes / MAX_PIECE }, () => [Kind.DATA, OPENED, 0, new Uint8Array(MAX_PIECE)]).flat()

/** As long as an array can be, and empty. */
const NOTHING: unknown[] = Object.assign([], { length: 2 ** 32 - 1 })

/** Name, whether the head was seen, and the message. */
const VIOLATIONS: readonly (readonly [string, boolean, unknown])[] = [
  ['a message that is no array', false, 'x'],
  ['a message that is null', false, null],
  ['a message that looks like an array', false, { length: 2, 0: Kind.HELLO, 1: 1 }],
  ['a frame in an array of its own', false, [[Kind.HELLO, 1]]],
  ['a kind that is an object', false, [{ 0: Kind.HELLO, 1: 1 }, 1]],
  ['a kind that names what an array has', false, ['length', 1]],
  ['a kind with a fraction', false, [1.5, 1]],
  ['a huge array of nothing', false, NOTHING],
  ['a frame that is a huge array of nothing', false, [NOTHING]],
  ['a frame that is cut short', false, [Kind.HEAD, OPENED, 0, undefined]],
  ['a refusal of another type', false, [Kind.REFUSED, 'ERR_MISDIRECTED', 'm', 'a.test', { toString: 1 }, 'GET', 'refused']],
  ['a refusal that is too long', false, [Kind.REFUSED, 'ERR_MISDIRECTED', 'm', 'a'.repeat(513), '', 'GET', 'refused']],
  ['a refusal without an outcome', false, [Kind.REFUSED, 'ERR_MISDIRECTED', 'm', 'a.test', '', 'GET', 'gone']],
  ['a kind that is none', false, [99, OPENED]],
  ['the kind nought', false, [0, OPENED]],
  ['a kind that only the front sends', false, [Kind.OPEN, OPENED, 1, 1, 'GET', '/', [], 0, 0]],
  ['a kind of another type', false, ['5', 2, 0, undefined, HEAD]],
  ['data for a stream never opened', true, [Kind.DATA, OPENED + 1, 0, 'x']],
  ['data for a stream with a negative number', true, [Kind.DATA, -1, 0, 'x']],
  ['data for a stream that is no number', true, [Kind.DATA, String(OPENED), 0, 'x']],
  ['data for a stream that cannot be taken for a number', true, [Kind.DATA, Object.create(null), 0, 'x']],
  ['data for a stream with a giant number', true, [Kind.DATA, 2n ** 70n, 0, 'x']],
  ['data for a stream whose number only looks the same in 32 bits', true, [Kind.DATA, OPENED + 2 ** 32, 0, 'x', 99]],
  ['data for a stream called __proto__', true, [Kind.DATA, '__proto__', 0, 'x']],
  ['a second head', true, [Kind.HEAD, OPENED, 0, undefined, HEAD]],
  ['a head after its own end', false, [Kind.HEAD, OPENED, 1, undefined, HEAD, Kind.HEAD, OPENED, 1, undefined, HEAD]],
  ['a head that is no text', false, [Kind.HEAD, OPENED, 0, undefined, new Uint8Array(3)]],
  ['a head that is too long', false, [Kind.HEAD, OPENED, 0, undefined, 'x'.repeat(MAX_HEAD + 1)]],
  ['a head with a piece of another type', false, [Kind.HEAD, OPENED, 0, 7, HEAD]],
  ['data before the head', false, [Kind.DATA, OPENED, 0, 'x']],
  ['an end before the head', false, [Kind.END, OPENED, undefined]],
  ['data after the end', true, [Kind.DATA, OPENED, 1, 'x', Kind.DATA, OPENED, 0, 'x']],
  ['a second end', true, [Kind.END, OPENED, undefined, Kind.END, OPENED, undefined]],
  ['data that is neither text nor bytes', true, [Kind.DATA, OPENED, 0, { length: 3 }]],
  ['a piece that is too large', true, [Kind.DATA, OPENED, 0, new Uint8Array(MAX_PIECE + 1)]],
  ['a text that is too long', true, [Kind.DATA, OPENED, 0, 'x'.repeat(MAX_PIECE + 1)]],
  ['a small view of a large memory', true, [Kind.DATA, OPENED, 0, new Uint8Array(1 << 20).subarray(0, 1)]],
  ['a typed array of another kind', true, [Kind.DATA, OPENED, 0, new Uint16Array(4)]],
  ['more bytes than the window', true, [...window(WINDOW), Kind.DATA, OPENED, 0, 'x']],
  ['wide text that is more bytes than the window', true, [...window(WINDOW - MAX_PIECE), Kind.DATA, OPENED, 0, '€'.repeat(30_000)]],
  ['trailers that are no text', true, [Kind.END, OPENED, ['X', '1']]],
  ['trailers that are too long', true, [Kind.END, OPENED, 'x'.repeat(MAX_HEAD + 1)]],
  ['credit for bytes that were never sent', true, [Kind.CREDIT, OPENED, 1]],
  ['credit without end', true, [Kind.CREDIT, OPENED, Number.MAX_SAFE_INTEGER]],
  ['credit that is not a number', true, [Kind.CREDIT, OPENED, Number.NaN]],
  ['credit of nothing', true, [Kind.CREDIT, OPENED, 0]],
  ['credit below nothing', true, [Kind.CREDIT, OPENED, -5]],
  ['a reset for no reason that there is', true, [Kind.RESET, OPENED, 'constructor']],
  ['an informational head after the head', true, [Kind.INFO, OPENED, 'HTTP/1.1 103 Early Hints\r\n\r\n']],
  ['an informational head that is too long', false, [Kind.INFO, OPENED, 'x'.repeat(MAX_HEAD + 1)]],
  ['a greeting in a version that is no number', false, [Kind.HELLO, '1']],
  ['readiness without a list', false, [Kind.READY, 'node']],
  ['readiness with a giant list', false, [Kind.READY, NOTHING]],
  ['readiness with kinds that are no text', false, [Kind.READY, [{}]]],
  ['a failure without a record', false, [Kind.FAILED, null]],
  ['a disconnect of nobody', false, [Kind.DISCONNECT, 'x']],
]

for (const [name, headSeen, message] of VIOLATIONS) {
  test(`${name} is a violation, reported once, and nothing more is read`, () => {
    const { front, context, client } = victim(headSeen)
    front.receive(message)
    const heard = client.heard.length
    front.receive(message)
    front.receive([Kind.HEAD, OPENED, 0, undefined, HEAD, Kind.RESET, OPENED, 'destroyed', 99])
    assert.deepEqual(context.heard.map(([event]) => event), ['violation'])
    assert.equal(client.heard.length, heard)
  })
}

test('late frames for a stream that the front has closed are ignored', () => {
  const { front, context, client } = victim(false)
  front.receive([
    Kind.HEAD, CLOSED, 0, 'x', HEAD, Kind.DATA, CLOSED, 0, 'x', Kind.CREDIT, CLOSED, 10, Kind.INFO, CLOSED, 'x', Kind.END, CLOSED, undefined,
    Kind.RESET, CLOSED, 'destroyed', Kind.DISCONNECT, 12345,
  ])
  assert.deepEqual(context.heard, [])
  assert.deepEqual(client.heard, [])
})

test('credit that was earned is taken, to the byte', () => {
  const { front, context, client, stream } = victim(true)
  assert.equal(stream.write(new Uint8Array(WINDOW)), false)
  front.receive([Kind.CREDIT, OPENED, WINDOW])
  assert.deepEqual(client.heard, [['writable']])
  front.receive([Kind.CREDIT, OPENED, 1])
  assert.deepEqual(context.heard.map(([event]) => event), ['violation'])
})

test("an error record brings its four texts, cut, and nothing that hangs on its prototype", () => {
  const { front, context } = victim(false)
  const record: unknown = JSON.parse('{"__proto__": {"code": "INJECTED"}, "name": 7, "constructor": "x", "extra": 1}')
  front.receive([Kind.FAILED, Object.assign(record as object, { message: 'm'.repeat(20_000) })])
  const [, error] = context.heard[0] as [string, Record<string, unknown>]
  assert.deepEqual(Object.keys(error), ['name', 'message', 'code', 'stack'])
  assert.equal(error['name'], 'Error')
  assert.equal((error['message'] as string).length, 8192)
  assert.equal(error['code'], undefined)
  assert.equal(({} as Record<string, unknown>)['code'], undefined)
})

const field = fc.oneof(
  fc.anything({ withTypedArray: true, withSparseArray: true, withNullPrototype: true, withBigInt: true, withDate: true, withMap: true }),
  fc.constantFrom<unknown>(0, 1, CLOSED, OPENED, OPENED, undefined, HEAD, 'x', '__proto__', 'destroyed', new Uint8Array(2), Number.MAX_SAFE_INTEGER),
)
const frame = fc.oneof(...Object.values(Kind).map((kind) =>
  fc.array(field, { minLength: (FRAME_LENGTH[kind] ?? 1) - 1, maxLength: (FRAME_LENGTH[kind] ?? 1) - 1 }).map((rest) => [kind, ...rest])))
const message = fc.oneof(fc.anything(), fc.array(fc.oneof(frame, fc.array(field), fc.array(fc.anything()))).map((frames) => frames.flat()))

test('whatever a context sends, the front never throws and reports at most one violation', () => {
  let reported = 0
  fc.assert(fc.property(fc.boolean(), fc.array(message, { maxLength: 5 }), (headSeen, messages) => {
    const { front, context } = victim(headSeen)
    for (const one of messages) front.receive(one)
    const violations = context.heard.filter(([event]) => event === 'violation')
    assert.ok(violations.length <= 1)
    reported += violations.length
    // Once broken, silent: the last message cannot have been read after a violation.
    assert.ok(violations.length === 0 || context.heard.at(-1)?.[0] === 'violation')
  }), { numRuns: 2000 })
  assert.ok(reported > 500, 'the generator reaches violations')
})

test('the same over a real port: every message that can be posted ends in a report, never in an uncaught error', async (t) => {
  const clonable = fc.anything({ withTypedArray: true, withMap: true, withSet: true, withDate: true, withSparseArray: true })
  await fc.assert(fc.asyncProperty(clonable.filter((value) => !Array.isArray(value) || (value.length > 0 && typeof value[0] !== 'number')), async (value) => {
    const ends = connectEnds(t)
    ends.port.postMessage(value)
    await until(() => ends.toFront.length > 0)
    await turn()
    assert.deepEqual(ends.context.heard.map(([event]) => event), ['violation'])
    ends.port.close()
  }), { numRuns: 200 })
})
