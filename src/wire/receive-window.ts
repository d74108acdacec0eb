import { FIRST_WINDOW, Kind, LEAST_COST, WINDOW } from './frames.ts'
import type { Outbox } from './outbox.ts'
import type { WindowPool } from './window-pool.ts'

/** Credit goes back in lumps: one frame for a quarter of a window instead of one for each piece. */
const LUMP = WINDOW / 4

/** The same where the sender may have no more than its first window. */
const FIRST_LUMP = FIRST_WINDOW / 2

/** So much at once asks for a whole window. Less is an event stream or a socket, which would hold it for its whole life. */
const BULK = FIRST_WINDOW / 4

/** The receiving half: counts what came against what was allowed, and gives credit back as it is read. */
export class ReceiveWindow {
  readonly #outbox: Outbox
  readonly #id: number
  readonly #pool: WindowPool | undefined
  #allowed = FIRST_WINDOW
  /** The pool has lent the rest of the window. */
  #isWhole = false
  #read = 0
  /** What small pieces cost beyond their bytes, until the next credit. */
  #overhead = 0

  /** `pool`: the front's; a context does not know how much its front may send, and counts nothing. */
  constructor(outbox: Outbox, id: number, pool?: WindowPool) {
    this.#outbox = outbox
    this.#id = id
    this.#pool = pool
  }

  /** False when the sender passed its window: a violation of the protocol. */
  receive(bytes: number): boolean {
    const cost = Math.max(bytes, LEAST_COST)
    this.#overhead += cost - bytes
    this.#allowed -= cost
    return this.#allowed >= 0
  }

  /** `bytes` have left our hands: the sender may send as many more. */
  consumed(bytes: number): void {
    const unread = FIRST_WINDOW - this.#allowed - this.#read
    this.#read += bytes + this.#overhead
    this.#overhead = 0
    if (!this.#isWhole && unread >= BULK && this.#pool?.take(WINDOW - FIRST_WINDOW) === true) {
      this.#isWhole = true
      this.#grant(this.#read + WINDOW - FIRST_WINDOW)
    } else if (this.#read >= (this.#isWhole ? LUMP : FIRST_LUMP)) {
      this.#grant(this.#read)
    }
  }

  /** The stream is over. */
  close(): void {
    if (this.#isWhole) this.#pool?.give(WINDOW - FIRST_WINDOW)
    this.#isWhole = false
  }

  #grant(bytes: number): void {
    this.#outbox.batch.push(Kind.CREDIT, this.#id, bytes)
    this.#allowed += bytes
    this.#read = 0
  }
}
