import { Kind, WINDOW } from './frames.ts'
import type { Outbox } from './outbox.ts'

/** Credit goes back in lumps: one frame for a quarter of a window instead of one for each piece. */
const LUMP = WINDOW / 4

/** The receiving half: counts what came against what was allowed, and gives credit back as it is read. */
export class ReceiveWindow {
  readonly #outbox: Outbox
  readonly #id: number
  #allowed = WINDOW
  #read = 0

  constructor(outbox: Outbox, id: number) {
    this.#outbox = outbox
    this.#id = id
  }

  /** False when the sender passed its window: a violation of the protocol. */
  receive(bytes: number): boolean {
    this.#allowed -= bytes
    return this.#allowed >= 0
  }

  /** `bytes` have left our hands: the sender may send as many more. */
  consumed(bytes: number): void {
    this.#read += bytes
    if (this.#read < LUMP) return
    this.#outbox.push([Kind.CREDIT, this.#id, this.#read])
    this.#allowed += this.#read
    this.#read = 0
  }
}
