import { Buffer } from 'node:buffer'
import { FIRST_WINDOW, HeadFlag, Kind, LEAST_COST, MAX_PIECE, MAX_TEXT_PIECE, WINDOW } from './frames.ts'
import type { Piece } from './frames.ts'
import type { Outbox } from './outbox.ts'
import type { WindowPool } from './window-pool.ts'

/** Bytes up to this are cloned: for so few, moving the memory costs more than copying it again. */
const CLONE_LIMIT = 2 * 1024

interface Waiting {
  /** Several small ones leave as one. */
  parts: Uint8Array[]
  size: number
  readonly own: boolean
  readonly sent: (() => void)[]
}

/**
 * The sending half of one stream in one direction: never more than WINDOW bytes
 * beyond what the receiver has read. What has to wait stays by reference in the
 * sender's memory; `write` answers false meanwhile, as a socket's does.
 *
 * Bytes are copied to an exact-size array of their own first: the memory of a
 * pooled Buffer is shared, and cloning it would ship its whole slab, with
 * other tenants' bytes in it.
 */
export class SendWindow {
  readonly #outbox: Outbox
  readonly #id: number
  readonly #pool: WindowPool | undefined
  /** What a piece costs at least: the front counts what it gets from a context, and not the other way round. */
  readonly #least: number
  #credit = FIRST_WINDOW
  /** The pool has lent the rest of the window. */
  #isWhole = false
  #waiting: Waiting[] = []
  #waitingBytes = 0
  /** Where the stream's last frame stands in the batch of `#lastTurn`. */
  #last = 0
  #lastTurn = -1

  /** `pool`: the front's; to a context it is the receiver who lends. */
  constructor(outbox: Outbox, id: number, pool?: WindowPool) {
    this.#outbox = outbox
    this.#id = id
    this.#pool = pool
    this.#least = pool === undefined ? LEAST_COST : 1
  }

  /** Bytes that wait for credit. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** The response head, with bits of HeadFlag: the first data of the same turn rides in its frame. */
  lead(text: string, flags: number): void {
    const { batch, turn } = this.#outbox
    this.#last = batch.length
    this.#lastTurn = turn
    batch.push(Kind.HEAD, this.#id, flags, undefined, text)
  }

  /**
   * False when data waits for credit: `grant` will answer true once it is gone. `sent` runs when the last byte left.
   * `own`: nobody else will look at the bytes again, so memory of their own may move.
   */
  write(piece: Piece, sent?: () => void, own = false): boolean {
    if (piece.length === 0 && this.#waitingBytes === 0) {
      if (sent !== undefined) process.nextTick(sent)
      return this.#credit >= this.#least
    }
    if (typeof piece === 'string') {
      if (piece.length <= MAX_TEXT_PIECE && this.#waitingBytes === 0) {
        const length = Buffer.byteLength(piece)
        const cost = Math.max(length, this.#least)
        if (cost <= this.#credit && length <= MAX_PIECE) {
          this.#credit -= cost
          this.#carry(piece)
          if (sent !== undefined) process.nextTick(sent)
          return this.#credit >= this.#least
        }
      }
      piece = Buffer.from(piece)
    }
    if (this.#waitingBytes === 0) {
      if (piece.byteLength > this.#credit) this.#borrow()
      const done = this.#sendBytes(piece, own)
      if (done === piece.byteLength) {
        if (sent !== undefined) process.nextTick(sent)
        return this.#credit >= this.#least
      }
      piece = piece.subarray(done)
    }
    this.#wait(piece, own, sent)
    return false
  }

  #wait(bytes: Uint8Array, own: boolean, sent: (() => void) | undefined): void {
    const size = bytes.byteLength
    this.#waitingBytes += size
    const last = this.#waiting.at(-1)
    if (last === undefined || last.own || own || size > CLONE_LIMIT || last.size + size > MAX_PIECE) {
      this.#waiting.push({ parts: [bytes], size, own, sent: sent === undefined ? [] : [sent] })
      return
    }
    last.parts.push(bytes)
    last.size += size
    if (sent !== undefined) last.sent.push(sent)
  }

  /** False when the receiver cannot have read so much: more than was sent to it. */
  allows(bytes: number): boolean {
    return this.#credit + bytes <= (this.#isWhole ? WINDOW : FIRST_WINDOW)
  }

  /** The receiver has read `bytes` more. True when nothing waits any longer. */
  grant(bytes: number): boolean {
    this.#credit += bytes
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const bytes = first.parts.length === 1 ? (first.parts[0] as Uint8Array) : Buffer.concat(first.parts)
      const done = this.#sendBytes(bytes, first.own)
      this.#waitingBytes -= done
      if (done < bytes.byteLength) {
        first.parts = [bytes.subarray(done)]
        first.size -= done
        return false
      }
      this.#waiting.shift()
      for (const sent of first.sent) process.nextTick(sent)
    }
    return this.#waiting.length === 0
  }

  /** The last frame of the stream says so if it has not left yet; else an END frame does. */
  end(trailers: unknown): void {
    const { batch, turn } = this.#outbox
    // The same bit in HEAD and DATA.
    if (trailers === undefined && this.#lastTurn === turn) batch[this.#last + 2] = (batch[this.#last + 2] as number) | HeadFlag.END
    else batch.push(Kind.END, this.#id, trailers)
  }

  /** The stream is over: nothing that waits will be sent. */
  drop(): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const sent of waiting.flatMap((one) => one.sent)) process.nextTick(sent)
    if (this.#isWhole) this.#pool?.give(WINDOW - FIRST_WINDOW)
    this.#isWhole = false
  }

  #borrow(): void {
    if (this.#isWhole || this.#pool?.take(WINDOW - FIRST_WINDOW) !== true) return
    this.#isWhole = true
    this.#credit += WINDOW - FIRST_WINDOW
  }

  #sendBytes(bytes: Uint8Array, own: boolean): number {
    const { byteLength, buffer } = bytes
    const movable = own && byteLength === buffer.byteLength && byteLength > CLONE_LIMIT && byteLength <= MAX_PIECE
    if (movable && byteLength <= this.#credit) {
      this.#outbox.transfer(buffer as ArrayBuffer)
      this.#credit -= byteLength
      this.#carry(bytes)
      return byteLength
    }
    let at = 0
    while (at < bytes.byteLength && this.#credit >= this.#least) {
      const size = Math.min(bytes.byteLength - at, this.#credit, MAX_PIECE)
      // Not zeroed first, since every byte of it is overwritten; and never from the pool.
      const memory = size === MAX_PIECE ? this.#outbox.memory.take() : undefined
      const copy = memory === undefined ? Buffer.allocUnsafeSlow(size) : new Uint8Array(memory)
      copy.set(bytes.subarray(at, at + size))
      if (size > CLONE_LIMIT) this.#outbox.transfer(copy.buffer)
      this.#credit -= Math.max(size, this.#least)
      at += size
      this.#carry(copy)
    }
    return at
  }

  #carry(piece: Piece): void {
    const { batch, turn } = this.#outbox
    if (this.#lastTurn === turn && batch[this.#last + 3] === undefined) {
      batch[this.#last + 3] = piece
      return
    }
    this.#last = batch.length
    this.#lastTurn = turn
    batch.push(Kind.DATA, this.#id, 0, piece)
  }
}
