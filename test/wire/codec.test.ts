import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encode, MAX_MESSAGE, MessageReader } from '../../src/wire/codec.ts'
import { MAX_PIECE } from '../../src/wire/frames.ts'
import { PieceMemory } from '../../src/wire/piece-memory.ts'
import { turn } from './ends.ts'

type Message = unknown[] | undefined

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, index = 0; at < bytes.byteLength; index++) {
    const size = sizes.length === 0 ? bytes.byteLength : (sizes[index % sizes.length] as number)
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

async function readAll(bytes: Buffer, sizes: readonly number[] = []): Promise<Message[]> {
  const heard: Message[] = []
  const reader = new MessageReader((message) => heard.push(message))
  for (const chunk of cut(bytes, sizes)) reader.push(chunk)
  await turn()
  return heard
}

const element = fc.oneof(
  fc.integer(), fc.string({ unit: 'binary' }), fc.constant(undefined), fc.uint8Array({ maxLength: 300 }), fc.array(fc.string()),
  fc.record({ a: fc.string(), b: fc.option(fc.nat(), { nil: null }) }, { noNullPrototype: true }),
)

test('whatever is sent arrives, however the socket cuts it: text to the character, bytes to the byte', async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.array(element), { maxLength: 6 }), fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
    async (messages, sizes) => {
      const bytes = Buffer.concat(messages.flatMap((message) => encode([...message])))
      assert.deepEqual(await readAll(bytes, sizes), messages)
    }), { numRuns: 300 })
})

test('a piece owns its memory, and lone surrogates survive', async () => {
  const [message] = await readAll(Buffer.concat(encode([new Uint8Array([1, 2, 3]), '\ud800x'])))
  const [piece, text] = message as [Uint8Array, string]
  assert.equal(piece.buffer.byteLength, 3)
  assert.equal(text, '\ud800x')
})

test('full pieces are read into memory of earlier ones, and never into memory that is still in use', async () => {
  const memory = new PieceMemory()
  const pieces: Uint8Array[] = []
  const reader = new MessageReader((message) => pieces.push((message as Uint8Array[])[0] as Uint8Array), memory)
  const send = (value: number): void => {
    for (const chunk of cut(Buffer.concat(encode([Buffer.alloc(MAX_PIECE, value)])), [60_000])) reader.push(chunk)
  }
  send(1)
  send(2)
  await turn()
  const [first, second] = pieces as [Uint8Array, Uint8Array]
  assert.notEqual(first.buffer, second.buffer)
  memory.put([first.buffer as ArrayBuffer])
  send(3)
  await turn()
  assert.equal(pieces[2]?.buffer, first.buffer)
  assert.ok(pieces[2]?.every((byte) => byte === 3) && second.every((byte) => byte === 2))
})

test('what a message announces is not there before its first byte is', () => {
  const made = MAX_MESSAGE / MAX_PIECE - 1
  const places = Array.from({ length: made }, (_, index) => [index, MAX_PIECE]).flat()
  const text = JSON.stringify([places, places.slice(0, made).fill(0).map(() => null)])
  const reader = new MessageReader(() => {})
  const before = process.memoryUsage().arrayBuffers
  reader.push(Buffer.concat([header(Buffer.byteLength(text), made * MAX_PIECE), Buffer.from(text), Buffer.from('x')]))
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * MAX_PIECE)
})

test('messages that came in one chunk are delivered in ticks of their own', async () => {
  const order: unknown[] = []
  const reader = new MessageReader((message) => {
    order.push(message?.[0])
    process.nextTick(() => order.push(`after ${String(message?.[0])}`))
  })
  reader.push(Buffer.concat([...encode([1]), ...encode([2]), ...encode([3])]))
  await turn()
  assert.deepEqual(order, [1, 'after 1', 2, 'after 2', 3, 'after 3'])
})

test('a message that comes byte by byte costs little more than its bytes', () => {
  const [bytes] = encode(['x'.repeat(600_000)]) as [Buffer]
  const reader = new MessageReader(() => {})
  const before = process.memoryUsage().heapUsed
  // Memory of its own each, as a read of a socket has; one byte is missing.
  for (let at = 0; at < bytes.byteLength - 1; at++) reader.push(Buffer.from(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + 1)))
  const held = process.memoryUsage().heapUsed - before
  assert.ok(held < 50e6, `${held} bytes for ${bytes.byteLength}`)
  reader.push(Buffer.from(' '))
})

const header = (text: number, bytes: number): Buffer => {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(text, 0)
  head.writeUInt32LE(bytes, 4)
  return head
}
const raw = (text: string, bytes = Buffer.alloc(0)): Buffer =>
  Buffer.concat([header(Buffer.byteLength(text), bytes.byteLength), Buffer.from(text), bytes])

for (const [what, bytes] of [
  ['a length above the limit', header(MAX_MESSAGE, 1)],
  ['a giant length', header(2 ** 32 - 1, 2 ** 32 - 1)],
  ['text that is no JSON', raw('{"')],
  ['JSON that is no list', raw('{"0":[],"1":[]}')],
  ['no list of elements', raw('[[],7]')],
  ['a place that is no element', raw('[[3,1],[null]]', Buffer.from('x'))],
  ['a place below nothing', raw('[[-1,1],[null]]', Buffer.from('x'))],
  ['a place that names a property', raw('[["length",1],[null]]', Buffer.from('x'))],
  ['a length beyond the bytes', raw('[[0,2],[null]]', Buffer.from('x'))],
  ['bytes that nobody claims', raw('[[],[null]]', Buffer.from('x'))],
  ['half a place', raw('[[0],[null]]')],
  ['a place twice', raw('[[0,1,0,2],[null]]', Buffer.from('xyz'))],
  ['places in no order', raw('[[1,1,0,1],[null,null]]', Buffer.from('xy'))],
  ['a place that holds something', raw('[[0,1],["text"]]', Buffer.from('x'))],
] as const) {
  test(`${what} is told once, and nothing after it is read`, async () => {
    assert.deepEqual(await readAll(Buffer.concat([bytes, ...encode([1])])), [undefined])
  })
}

test('whatever bytes come, nothing throws and nothing is read after what is none', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 64 })), async (chunks) => {
    const heard = await readAll(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))), [7])
    assert.ok(heard.indexOf(undefined) === -1 || heard.indexOf(undefined) === heard.length - 1)
  }), { numRuns: 500 })
})
