import { Kind, MAX_PIECE, WINDOW } from './frames.ts'
import type { Outbox } from './outbox.ts'

/** Credit goes back in lumps: one frame for a quarter of a window instead of one for each piece. */
const LUMP = WINDOW / 4

/** The receiving half: counts what came against what was allowed, and gives credit back as it is read. */
export class ReceiveWindow {
  readonly #outbox: Outbox
  readonly #id: number
  #allowed = WINDOW
  #read = 0
  #memory: ArrayBuffer[] = []

  constructor(outbox: Outbox, id: number) {
    this.#outbox = outbox
    this.#id = id
  }

  /** False when the sender passed its window: a violation of the protocol. */
  receive(bytes: number): boolean {
    this.#allowed -= bytes
    return this.#allowed >= 0
  }

  /**
   * Memory of a full piece that nobody looks at any longer: it goes back with the next credit, so that a long body
   * goes round in the same few pieces instead of asking the system for new pages all the time.
   */
  giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength === MAX_PIECE && this.#memory.length < WINDOW / MAX_PIECE) this.#memory.push(buffer)
  }

  /** `bytes` have left our hands: the sender may send as many more. */
  consumed(bytes: number): void {
    this.#read += bytes
    if (this.#read < LUMP) return
    const memory = this.#memory
    if (memory.length > 0) {
      this.#memory = []
      for (const buffer of memory) this.#outbox.transfer(buffer)
    }
    this.#outbox.batch.push(Kind.CREDIT, this.#id, this.#read, memory)
    this.#allowed += this.#read
    this.#read = 0
  }
}
