import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { PieceMemory } from '../../src/wire/piece-memory.ts'
import { TenantryError } from '../../src/errors.ts'
import { FrontChannel } from '../../src/wire/front-channel.ts'
import { FIRST_WINDOW, Kind, LEAST_COST, MAX_INFOS, MAX_PIECE, WINDOW } from '../../src/wire/frames.ts'
import { TenantChannel } from '../../src/wire/tenant-channel.ts'
import { connectEnds, framesOf, openHead, RecordingContext, RecordingStream, turn, until } from './ends.ts'
import type { Carrier } from '../../src/wire/carrier.ts'
import type { Batch, Piece } from '../../src/wire/frames.ts'
import type { FrontStream } from '../../src/wire/front-stream.ts'
import type { RequestHead, TenantStream } from '../../src/wire/tenant-channel.ts'

/** A carrier whose messages wait until the test delivers them. */
class SlowCarrier implements Carrier {
  readonly movesMemory = true
  readonly memory = new PieceMemory()
  readonly queue: Batch[] = []
  post(batch: Batch, transfer: ArrayBuffer[]): void {
    this.queue.push(structuredClone(batch, { transfer }))
  }
  close(): void {}
}

/** One direction as its two ends see it. */
class Direction {
  readonly written: Buffer[] = []
  readonly arrived: Buffer[] = []
  callbacks = 0
  expectedCallbacks = 0
  unread = 0
  ended = false

  take(piece: Piece): void {
    const bytes = Buffer.from(piece as Uint8Array)
    this.arrived.push(bytes)
    this.unread += bytes.byteLength
    assert.ok(this.unread <= WINDOW, `${this.unread} unread bytes`)
  }
}

type Step =
  | { readonly do: 'write'; readonly up: boolean; readonly size: number; readonly as: 'text' | 'wide' | 'bytes' | 'pooled' }
  | { readonly do: 'read'; readonly up: boolean; readonly share: number }
  | { readonly do: 'deliver'; readonly up: boolean }
  | { readonly do: 'turn' }

const size = fc.oneof(
  fc.nat(64),
  fc.nat(3 * WINDOW),
  fc.constantFrom(0, 0, 2048, 2049, 16_384, 16_385, 65_536, 65_537, WINDOW / 2, WINDOW, WINDOW + WINDOW / 2),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('write' as const), up: fc.boolean(), size, as: fc.constantFrom('text', 'wide', 'bytes', 'pooled') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('read' as const), up: fc.boolean(), share: fc.constantFrom(0.1, 0.5, 1) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('deliver' as const), up: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant({ do: 'turn' as const }) },
)

let fill = 0
function make(length: number, as: 'text' | 'wide' | 'bytes' | 'pooled'): Piece {
  const at = String.fromCharCode(97 + (fill++ % 26))
  // Three bytes each: what counts is bytes, never characters.
  if (as === 'wide') return '€'.repeat(Math.floor(length / 3))
  if (as === 'text') return at.repeat(length)
  const bytes = as === 'pooled' && length < 4096 ? Buffer.allocUnsafe(length) : Buffer.alloc(length)
  return bytes.fill(at)
}

test('bytes arrive in order and exactly once, callbacks run once, and no side has more than a window unread', async () => {
  const limit = fc.constantFrom(0, WINDOW - FIRST_WINDOW, 2 * WINDOW, Infinity)
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), limit, async (steps, bufferLimit) => {
    const up = new Direction()
    const down = new Direction()
    const toTenant = new SlowCarrier()
    const toFront = new SlowCarrier()
    const context = new RecordingContext()
    const front = new FrontChannel(toTenant, context, bufferLimit)
    let served: TenantStream | undefined
    const tenant = new TenantChannel(toFront, {
      onLoad() {}, onConnection() {}, onDisconnect() {}, onDrain() {},
      onRequest(_head: RequestHead, stream: TenantStream) {
        served = stream
        stream.listener = { onData: (piece) => up.take(piece), onEnd: () => { up.ended = true }, onReset() {}, onDrain() {} }
        stream.head('HTTP/1.1 200 OK\r\n\r\n')
      },
    })
    // A request body waits in its own stream while this is false, as the relay pauses it.
    let mayWrite = true
    const stream: FrontStream = front.open(openHead({ end: false }), {
      onHead(_text, piece, end) { if (piece !== undefined) down.take(piece); down.ended ||= end },
      onData(piece, end) { down.take(piece); down.ended ||= end },
      onEnd() { down.ended = true },
      onInfo() {}, onReset() {}, onFailure() {},
      onWritable() { mayWrite = true },
    })
    const deliver = (upward: boolean): void => {
      const batch = (upward ? toTenant : toFront).queue.shift()
      if (batch === undefined) return
      checkMemory(batch)
      if (upward) tenant.receive(batch)
      else front.receive(batch)
    }
    const read = (upward: boolean, share: number): void => {
      const direction = upward ? up : down
      const bytes = Math.ceil(direction.unread * share)
      direction.unread -= bytes
      if (bytes === 0) return
      if (upward) served?.consumed(bytes)
      else stream.consumed(bytes)
    }
    await turn()
    deliver(true)
    for (const one of steps) {
      if (one.do === 'turn') await turn()
      else if (one.do === 'deliver') deliver(one.up)
      else if (one.do === 'read') read(one.up, one.share)
      else if (one.up) {
        if (!mayWrite) continue
        const piece = Buffer.from(make(one.size, 'bytes') as Uint8Array)
        up.written.push(Buffer.from(piece))
        mayWrite = stream.write(piece)
      } else {
        const piece = make(one.size, one.as)
        down.written.push(Buffer.from(piece as Uint8Array))
        down.expectedCallbacks++
        served?.write(piece, () => { down.callbacks++ })
      }
    }
    served?.end(undefined)
    let upEnded = false
    for (let round = 0; round < 2000 && !(up.ended && down.ended && down.callbacks === down.expectedCallbacks); round++) {
      if (mayWrite && !upEnded) {
        upEnded = true
        stream.end(undefined)
      }
      deliver(true)
      deliver(false)
      read(true, 1)
      read(false, 1)
      await turn()
    }
    assert.ok(up.ended && down.ended, 'both directions end')
    assert.ok(Buffer.concat(up.written).equals(Buffer.concat(up.arrived)), 'the request body arrived as it was written')
    assert.ok(Buffer.concat(down.written).equals(Buffer.concat(down.arrived)), 'the response body arrived as it was written')
    assert.equal(down.callbacks, down.expectedCallbacks)
    assert.deepEqual(context.heard, [])
    assert.equal(front.size, 0)
    assert.equal(tenant.size, 0)
    assert.ok(front.pool.take(bufferLimit), 'what the pool lent came back')
  }), { numRuns: 150 })
})

/** What crosses owns exactly its bytes. */
function checkMemory(batch: Batch): void {
  for (const field of batch) if (field instanceof Uint8Array) assert.equal(field.buffer.byteLength, field.byteLength)
}

test('an empty write between waiting bytes is called back although no credit is left for it', async (t) => {
  const ends = connectEnds(t)
  const client = new RecordingStream()
  const stream = ends.front.open(openHead(), client)
  await until(() => ends.world.requests.length === 1)
  const served = ends.world.requests[0]?.stream as TenantStream
  const called: string[] = []
  served.head('HTTP/1.1 200 OK\r\n\r\n')
  served.write(Buffer.alloc(WINDOW + WINDOW / 2), () => called.push('large'))
  served.write('', () => called.push('empty'))
  await until(() => received(client) === FIRST_WINDOW)
  stream.consumed(FIRST_WINDOW)
  await until(() => received(client) === FIRST_WINDOW + WINDOW)
  stream.consumed(WINDOW / 2)
  await until(() => received(client) === WINDOW + WINDOW / 2)
  served.end(undefined)
  await turn()
  assert.deepEqual(called, ['large', 'empty'])
})

test('a sender without credit says so, and says once when it may go on', async (t) => {
  const ends = connectEnds(t)
  const client = new RecordingStream()
  const stream = ends.front.open(openHead({ end: false }), client)
  await until(() => ends.world.requests.length === 1)
  const { stream: served, listener: request } = ends.world.requests[0] as typeof ends.world.requests[number]
  served.head('HTTP/1.1 200 OK\r\n\r\n')
  assert.equal(served.write(Buffer.alloc(FIRST_WINDOW - LEAST_COST)), true)
  assert.equal(served.write('xy'), false)
  assert.equal(served.waitingBytes, 0)
  assert.equal(served.write('z'), false)
  assert.equal(served.waitingBytes, 1)
  const sent = FIRST_WINDOW - LEAST_COST + 2
  assert.equal(stream.write(Buffer.alloc(WINDOW)), false)
  await until(() => received(client) === sent && request.heard.length === WINDOW / MAX_PIECE)
  assert.deepEqual(request.heard.filter(([name]) => name === 'drain'), [])
  served.consumed(WINDOW)
  stream.consumed(sent)
  await until(() => request.heard.some(([name]) => name === 'drain') && received(client) === sent + 1)
  assert.equal(client.heard.filter(([name]) => name === 'writable').length, 1)
})

test('streams that nobody reads hold their first windows and no more, and a pool that is lent out holds nobody up', async (t) => {
  const lent = WINDOW - FIRST_WINDOW
  const ends = connectEnds(t, { bufferLimit: 2 * lent })
  const clients = Array.from({ length: 20 }, () => new RecordingStream())
  const streams = clients.map((client) => ends.front.open(openHead({ end: false }), client))
  await until(() => ends.world.requests.length === 20)
  for (const { stream } of ends.world.requests) {
    stream.head('HTTP/1.1 200 OK\r\n\r\n')
    stream.write(Buffer.alloc(2 * WINDOW))
  }
  await until(() => clients.every((client) => received(client) === FIRST_WINDOW))
  // The two that are read first get whole windows; the third goes on with what it had.
  for (const [index, whole] of [[0, true], [1, true], [2, false]] as const) {
    streams[index]?.consumed(FIRST_WINDOW)
    await until(() => received(clients[index] as RecordingStream) === FIRST_WINDOW + (whole ? WINDOW : FIRST_WINDOW))
  }
  // The way up is bounded by the same pool, which is empty.
  assert.equal(streams[3]?.write(Buffer.alloc(WINDOW)), false)
  await until(() => bytesOf(ends.world.requests[3]?.listener.heard) === FIRST_WINDOW)
  ends.world.requests[3]?.stream.consumed(FIRST_WINDOW)
  await until(() => bytesOf(ends.world.requests[3]?.listener.heard) === 2 * FIRST_WINDOW)
  // One ends, one is given up: others may borrow.
  streams[0]?.reset('client-gone')
  ends.world.requests[1]?.stream.reset('destroyed')
  await until(() => clients[1]?.heard.at(-1)?.[0] === 'reset')
  assert.ok(ends.front.pool.take(2 * lent))
})

test('a small event now and then does not borrow a whole window for the life of its stream', async (t) => {
  const ends = connectEnds(t, { bufferLimit: WINDOW })
  const client = new RecordingStream()
  const stream = ends.front.open(openHead(), client)
  await until(() => ends.world.requests.length === 1)
  const served = ends.world.requests[0]?.stream as TenantStream
  served.head('HTTP/1.1 200 OK\r\n\r\n')
  for (let event = 1; event <= 300; event++) {
    served.write('x'.repeat(1000))
    await until(() => received(client) === event * 1000)
    stream.consumed(1000)
  }
  assert.ok(ends.front.pool.take(WINDOW))
})

test('an application that writes byte by byte makes few frames of it, and the bytes arrive in order', async (t) => {
  const ends = connectEnds(t)
  const client = new RecordingStream()
  const stream = ends.front.open(openHead(), client)
  client.onData = (piece) => stream.consumed(Buffer.byteLength(piece))
  await until(() => ends.world.requests.length === 1)
  const served = ends.world.requests[0]?.stream as TenantStream
  served.head('HTTP/1.1 200 OK\r\n\r\n')
  await turn()
  const text = Array.from({ length: 100_000 }, (_, index) => String(index % 10))
  let called = 0
  for (const [index, digit] of text.entries()) served.write(index % 3 === 0 ? digit : Buffer.from(digit), () => called++)
  served.end(undefined)
  await until(() => ends.toFront.flatMap(framesOf).some((frame) => frame[0] === Kind.END || frame[2] === 1) && called === text.length)
  const pieces = ends.toFront.flatMap(framesOf).filter(([kind]) => kind === Kind.DATA).map((frame) => frame[3] as Piece)
  assert.equal(pieces.map((piece) => Buffer.from(piece as Uint8Array).toString()).join(''), text.join(''))
  assert.ok(pieces.length < 2 * (FIRST_WINDOW / LEAST_COST), `${pieces.length} frames`)
})

test('a flood of frames is read some at a turn, in order, and all of it when the context is gone', async () => {
  for (const ends of [false, true]) {
    const carrier = new SlowCarrier()
    const front = new FrontChannel(carrier, new RecordingContext())
    const client = new RecordingStream()
    const stream = front.open(openHead(), client)
    const gone = front.open(openHead(), new RecordingStream())
    gone.reset('client-gone')
    const infos = (count: number): Batch => Array.from({ length: count }, () => [Kind.INFO, stream.id, 'HTTP/1.1 102 Processing\r\n\r\n']).flat()
    const lates = Array.from({ length: 20_000 }, () => [Kind.RESET, gone.id, 'destroyed']).flat()
    front.receive([...infos(10), ...lates, ...infos(10)])
    front.receive([Kind.HEAD, stream.id, 1, undefined, 'HTTP/1.1 200 OK\r\n\r\n'])
    assert.equal(client.heard.length, 10)
    if (ends) front.settle()
    else await until(() => client.heard.at(-1)?.[0] === 'head')
    assert.deepEqual(client.heard.map(([name]) => name), [...Array.from({ length: 20 }, () => 'info'), 'head'])
  }
})

test('more 1xx heads than anybody needs are dropped by a context, and break the protocol where one sends them', async (t) => {
  const ends = connectEnds(t)
  const client = new RecordingStream()
  const { id } = ends.front.open(openHead(), client)
  await until(() => ends.world.requests.length === 1)
  for (let count = 0; count < MAX_INFOS + 50; count++) ends.world.requests[0]?.stream.info('HTTP/1.1 102 Processing\r\n\r\n')
  await until(() => client.heard.length === MAX_INFOS)
  await turn()
  assert.deepEqual([client.heard.length, ends.context.heard], [MAX_INFOS, []])
  ends.front.receive([Kind.INFO, id, 'HTTP/1.1 102 Processing\r\n\r\n'])
  assert.equal(ends.context.heard[0]?.[0], 'violation')
})

test('a stream that is given up drops what waits and still calls back', async (t) => {
  const ends = connectEnds(t)
  ends.front.open(openHead(), new RecordingStream())
  await until(() => ends.world.requests.length === 1)
  const served = ends.world.requests[0]?.stream as TenantStream
  let called = 0
  served.head('HTTP/1.1 200 OK\r\n\r\n')
  served.write(Buffer.alloc(2 * WINDOW), () => called++)
  served.reset('destroyed')
  await until(() => called === 1)
  assert.equal(served.waitingBytes, 0)
  await turn()
  assert.equal(ends.toFront.flatMap(framesOf).at(-1)?.[0], Kind.RESET)
})

function bytesOf(heard: readonly unknown[][] = []): number {
  return heard.reduce((sum, [name, value]) => sum + (name === 'data' ? Buffer.byteLength(value as Uint8Array) : 0), 0)
}

function received(client: RecordingStream): number {
  return client.heard.reduce((sum, [name, value, piece]) => {
    const bytes = name === 'head' ? piece : name === 'data' ? value : undefined
    return sum + (bytes === undefined ? 0 : Buffer.byteLength(bytes as Uint8Array))
  }, 0)
}

test('the memory of full pieces goes round, from answer to answer: many need no more of it than a window has', async (t) => {
  const ends = connectEnds(t)
  const made = t.mock.method(Buffer, 'allocUnsafeSlow')
  let marked = 0
  for (let answer = 1; answer <= 5; answer++) {
    const client = new RecordingStream()
    const stream = ends.front.open(openHead(), client)
    await until(() => ends.world.requests.length === answer)
    const { stream: served } = ends.world.requests[answer - 1] as typeof ends.world.requests[number]
    served.head('HTTP/1.1 200 OK\r\n\r\n')
    await turn()
    client.onData = (piece) => {
      const bytes = piece as Uint8Array
      // A mark that the sender never writes tells memory that was here before; what it is for is overwritten whole.
      assert.ok(bytes.every((byte) => byte === answer), 'no byte of an earlier round is left')
      marked++
      bytes.fill(99)
      stream.consumed(bytes.byteLength)
      // As when it is written: later, and for the last piece after the answer's end.
      setImmediate(() => stream.giveBack(bytes.buffer as ArrayBuffer))
    }
    for (let round = 0; round < 40; round++) {
      await new Promise<void>((resolve) => served.write(Buffer.alloc(MAX_PIECE, answer), resolve))
      await turn()
    }
    served.end(undefined)
    await until(() => marked === answer * 40)
    await turn()
  }
  assert.ok(made.mock.callCount() <= WINDOW / MAX_PIECE, `${made.mock.callCount()} pieces were made for ${marked}`)
})

test('memory that is no full piece, or that comes when the context is gone, stays where it is', async (t) => {
  const ends = connectEnds(t)
  const stream = ends.front.open(openHead(), new RecordingStream())
  const [small, late] = [new ArrayBuffer(1000), new ArrayBuffer(MAX_PIECE)]
  stream.giveBack(small)
  await turn()
  ends.front.close(new TenantryError('ERR_CONTEXT_EXITED', 'gone'))
  stream.giveBack(late)
  await turn()
  assert.deepEqual([small.byteLength, late.byteLength], [1000, MAX_PIECE])
  assert.deepEqual(ends.toTenant.flatMap(framesOf).map(([kind]) => kind), [Kind.OPEN])
})
