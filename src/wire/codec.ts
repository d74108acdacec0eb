import { Buffer } from 'node:buffer'
import { MAX_PIECE } from './frames.ts'
import type { PieceMemory } from './piece-memory.ts'

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

/** A message whose text is here, and whose pieces come. */
interface OpenMessage {
  readonly elements: unknown[]
  /** For each piece, the index of its element and its length. */
  readonly places: readonly number[]
  /** Where in `places` the piece stands that is filled now, and how far it is. */
  place: number
  filled: number
}

/**
 * Takes messages out of the chunks that a socket reads, however they are cut.
 * Each is delivered in a tick of its own, as those of a port are: what the
 * first one made node:http write has left before the second one is read.
 *
 * A piece is copied once, from the chunks into memory of its own, which may
 * have been an earlier one's: a view would hold the whole message for as long
 * as the piece lives, and new memory for each makes V8 collect all the time.
 */
export class MessageReader {
  readonly #onMessage: (elements: unknown[] | undefined) => void
  readonly #memory: PieceMemory | undefined
  readonly #chunks: Buffer[] = []
  #size = 0
  /** Bytes of header and text of the next message, 0 until its header is here; and of its pieces. */
  #wanted = 0
  #bytes = 0
  #message: OpenMessage | undefined
  #state: 'reading' | 'waiting' | 'broken' = 'reading'

  /** `onMessage` hears `undefined` for bytes that no honest sender writes, and nothing after it. */
  constructor(onMessage: (elements: unknown[] | undefined) => void, memory?: PieceMemory) {
    this.#onMessage = onMessage
    this.#memory = memory
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
    if (this.#message === undefined) {
      if (!this.#hasText()) return
      this.#message = this.#wanted + this.#bytes > MAX_MESSAGE ? undefined : open(this.#take(this.#wanted), this.#bytes)
      this.#wanted = 0
    }
    const message = this.#message
    if (message === undefined) {
      this.#state = 'broken'
      this.#onMessage(undefined)
      return
    }
    if (!this.#fill(message)) return
    this.#message = undefined
    if (this.#size > 0) this.#state = 'waiting'
    this.#onMessage(message.elements)
    // After what the message itself has put off until the next tick.
    if (this.#size > 0) process.nextTick(() => this.#read())
  }

  /** Header and text are here, or announce more than will be read. */
  #hasText(): boolean {
    if (this.#wanted === 0) {
      if (this.#size < HEADER) return false
      const header = this.#peek(HEADER)
      this.#wanted = HEADER + header.readUInt32LE(0)
      this.#bytes = header.readUInt32LE(4)
    }
    return this.#size >= this.#wanted || this.#wanted + this.#bytes > MAX_MESSAGE
  }

  /** True when all pieces are here. */
  #fill(message: OpenMessage): boolean {
    const { elements, places } = message
    for (; message.place < places.length; message.place += 2) {
      const index = places[message.place] as number
      const length = places[message.place + 1] as number
      // Not before there is something to put into it: what is announced is not here yet.
      if (this.#size === 0 && length > 0) return false
      const piece = (elements[index] ??= this.#make(length)) as Uint8Array
      while (message.filled < length) {
        const chunk = this.#chunks[0]
        if (chunk === undefined) return false
        const part = chunk.byteLength <= length - message.filled ? chunk : chunk.subarray(0, length - message.filled)
        piece.set(part, message.filled)
        message.filled += part.byteLength
        this.#drop(part.byteLength)
      }
      message.filled = 0
    }
    return true
  }

  #make(length: number): Uint8Array {
    const memory = length === MAX_PIECE ? this.#memory?.take() : undefined
    // Not zeroed first: every byte of it is overwritten.
    return new Uint8Array(memory ?? Buffer.allocUnsafeSlow(length).buffer)
  }

  #peek(size: number): Buffer {
    const first = this.#chunks[0] as Buffer
    if (first.byteLength >= size || this.#chunks.length === 1) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks.splice(0, this.#chunks.length, all)
    return all
  }

  #take(size: number): Buffer {
    const taken = this.#peek(size).subarray(0, size)
    this.#drop(size)
    return taken
  }

  /** The first chunk's first `size` bytes have been read. */
  #drop(size: number): void {
    const first = this.#chunks[0] as Buffer
    this.#size -= size
    if (first.byteLength === size) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(size)
  }
}

/** The text of a message, which announces `bytes` bytes of pieces; undefined when it is none. */
function open(text: Buffer, bytes: number): OpenMessage | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text.toString('utf8', HEADER))
  } catch {
    return undefined
  }
  if (!Array.isArray(parsed)) return undefined
  const [places, elements] = parsed as unknown[]
  if (!Array.isArray(places) || !Array.isArray(elements)) return undefined
  // JSON has no undefined; a frame has no null.
  for (let at = 0; at < elements.length; at++) if (elements[at] === null) elements[at] = undefined
  let [left, last] = [bytes, -1]
  for (let at = 0; at < places.length; at += 2) {
    const index: unknown = places[at]
    const length: unknown = places[at + 1]
    if (!isIndex(index, elements.length) || !isIndex(length, left + 1)) return undefined
    // Each place once, and empty: two would share memory that is large enough for one.
    if (index <= last || elements[index] !== undefined) return undefined
    left -= length
    last = index
  }
  return left === 0 ? { elements, places: places as number[], place: 0, filled: 0 } : undefined
}

function isIndex(value: unknown, below: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below
}
