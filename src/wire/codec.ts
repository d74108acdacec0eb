import { Buffer } from 'node:buffer'

/**
 * A message on a Unix socket: its two lengths, JSON text, then the bytes that
 * stand in it, piece after piece. JSON and not V8's own format, since what a
 * daemon sends is hostile and no parser has been looked at as often.
 *
 *     u32 length of the text │ u32 length of all pieces │ [places, elements] │ piece │ piece …
 *
 * `places` holds, for each piece, the index of its element and its length.
 */
const HEADER = 8

/** The longest message that is read. Senders part what is longer; the largest single frame is a tenth of it. */
export const MAX_MESSAGE: number = 8 * 1024 * 1024

/** A chunk below so many bytes costs more than it holds. */
const SMALL = 4096

/** A message as buffers to write one after another. `elements` belongs to the encoder from now on. */
export function encode(elements: unknown[]): Buffer[] {
  const places: number[] = []
  const pieces: Buffer[] = []
  let bytes = 0
  for (let at = 0; at < elements.length; at++) {
    const piece = elements[at]
    if (!(piece instanceof Uint8Array)) continue
    places.push(at, piece.byteLength)
    pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength))
    bytes += piece.byteLength
    elements[at] = undefined
  }
  const text = JSON.stringify([places, elements])
  const head = Buffer.allocUnsafe(HEADER + Buffer.byteLength(text))
  head.writeUInt32LE(head.byteLength - HEADER, 0)
  head.writeUInt32LE(bytes, 4)
  head.write(text, HEADER)
  return [head, ...pieces]
}

/**
 * Takes messages out of the chunks that a socket reads, however they are cut.
 * Each is delivered in a tick of its own, as those of a port are: what the
 * first one made node:http write has left before the second one is read.
 */
export class MessageReader {
  readonly #onMessage: (elements: unknown[] | undefined) => void
  readonly #chunks: Buffer[] = []
  #size = 0
  /** Of the message that is being read, 0 until its header is here. */
  #wanted = 0
  #state: 'reading' | 'waiting' | 'broken' = 'reading'

  /** `onMessage` hears `undefined` for bytes that no honest sender writes, and nothing after it. */
  constructor(onMessage: (elements: unknown[] | undefined) => void) {
    this.#onMessage = onMessage
  }

  push(chunk: Buffer): void {
    if (this.#state === 'broken') return
    this.#size += chunk.byteLength
    this.#keep(chunk)
    if (this.#state === 'reading') this.#read()
  }

  /** Joined with the small ones before it, as digits carry: a message that comes byte by byte holds its bytes and no more. */
  #keep(chunk: Buffer): void {
    let joined = chunk
    for (let last = this.#chunks.at(-1); last !== undefined && joined.byteLength < SMALL; last = this.#chunks.at(-1)) {
      if (last.byteLength > joined.byteLength) break
      this.#chunks.pop()
      joined = Buffer.concat([last, joined])
    }
    this.#chunks.push(joined)
  }

  #read(): void {
    this.#state = 'reading'
    if (!this.#isComplete()) return
    const elements = this.#wanted > MAX_MESSAGE ? undefined : decode(this.#take(this.#wanted))
    this.#wanted = 0
    this.#state = elements === undefined ? 'broken' : this.#isComplete() ? 'waiting' : 'reading'
    this.#onMessage(elements)
    // After what the message itself has put off until the next tick.
    if (this.#state === 'waiting') process.nextTick(() => this.#read())
  }

  /** A whole message is here, or one that will not be read. */
  #isComplete(): boolean {
    if (this.#wanted === 0) {
      if (this.#size < HEADER) return false
      const header = this.#peek(HEADER)
      this.#wanted = HEADER + header.readUInt32LE(0) + header.readUInt32LE(4)
    }
    return this.#size >= this.#wanted || this.#wanted > MAX_MESSAGE
  }

  #peek(size: number): Buffer {
    const first = this.#chunks[0] as Buffer
    if (first.byteLength >= size || this.#chunks.length === 1) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks.splice(0, this.#chunks.length, all)
    return all
  }

  #take(size: number): Buffer {
    const all = this.#peek(size)
    this.#size -= size
    if (all.byteLength === size) this.#chunks.shift()
    else this.#chunks[0] = all.subarray(size)
    return all.subarray(0, size)
  }
}

function decode(message: Buffer): unknown[] | undefined {
  const textEnd = HEADER + message.readUInt32LE(0)
  let parsed: unknown
  try {
    parsed = JSON.parse(message.toString('utf8', HEADER, textEnd))
  } catch {
    return undefined
  }
  if (!Array.isArray(parsed)) return undefined
  const [places, elements] = parsed as unknown[]
  if (!Array.isArray(places) || !Array.isArray(elements)) return undefined
  // JSON has no undefined; a frame has no null.
  for (let at = 0; at < elements.length; at++) if (elements[at] === null) elements[at] = undefined
  let from = textEnd
  for (let at = 0; at < places.length; at += 2) {
    const index: unknown = places[at]
    const length: unknown = places[at + 1]
    if (!isIndex(index, elements.length) || !isIndex(length, message.byteLength - from + 1)) return undefined
    // Memory of its own: a view would hold the whole message for as long as the piece lives.
    elements[index] = new Uint8Array(message.subarray(from, from + length))
    from += length
  }
  return from === message.byteLength ? elements : undefined
}

function isIndex(value: unknown, below: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below
}
