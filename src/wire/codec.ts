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

/** Takes messages out of the chunks that a socket reads, however they are cut. */
export class MessageReader {
  readonly #onMessage: (elements: unknown[]) => void
  #chunks: Buffer[] = []
  #size = 0
  /** Of the message that is being read, 0 until its header is here. */
  #wanted = 0

  constructor(onMessage: (elements: unknown[]) => void) {
    this.#onMessage = onMessage
  }

  /** False for bytes that no honest sender writes: nothing after them can be read. */
  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk)
    this.#size += chunk.byteLength
    while (this.#size >= HEADER) {
      if (this.#wanted === 0) {
        const header = this.#peek(HEADER)
        this.#wanted = HEADER + header.readUInt32LE(0) + header.readUInt32LE(4)
        if (this.#wanted > MAX_MESSAGE) return false
      }
      if (this.#size < this.#wanted) return true
      const elements = decode(this.#take(this.#wanted))
      this.#wanted = 0
      if (elements === undefined) return false
      this.#onMessage(elements)
    }
    return true
  }

  #peek(size: number): Buffer {
    const first = this.#chunks[0] as Buffer
    if (first.byteLength >= size || this.#chunks.length === 1) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
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
