import { FRAME_LENGTH } from './frames.ts'
import type { Batch } from './frames.ts'

/** Elements of frames that are read from one context in one turn of the loop, some milliseconds' work; the rest waits. */
const WORK_PER_TURN = 8192

/** Below, nothing is scheduled to begin the count anew: few requests should not pay for it. */
const WORTH_COUNTING = 1024

/**
 * Takes a context's batches apart, frame after frame, and never more in one turn of the loop than its neighbours can
 * bear: whatever a context sends, and however much at once.
 */
export class FrameReader {
  readonly #read: (batch: Batch, at: number) => boolean
  readonly #onViolation: (what: string) => void
  /** What is left for later turns. */
  readonly #backlog: { readonly batch: Batch; readonly from: number }[] = []
  /** Elements read in this turn; counted coarsely, since a turn has no name. */
  #work = 0
  #limit = WORK_PER_TURN
  #isScheduled = false
  #stopped = false
  readonly #nextTurn = (): void => {
    this.#isScheduled = false
    this.#resume()
  }

  /** `read`: false for a frame that no honest context sends; then nothing more is read. */
  constructor(read: (batch: Batch, at: number) => boolean, onViolation: (what: string) => void) {
    this.#read = read
    this.#onViolation = onViolation
  }

  receive(batch: unknown): void {
    if (this.#stopped) return
    if (!Array.isArray(batch)) return this.#violation('a message is not a batch of frames')
    if (this.#backlog.length > 0) this.#backlog.push({ batch, from: 0 })
    else this.#take(batch, 0)
  }

  /** Nothing more is read, nor what waits. */
  stop(): void {
    this.#stopped = true
    this.#backlog.length = 0
  }

  /** Reads what waits at once. */
  finish(): void {
    this.#limit = Infinity
    this.#resume()
  }

  #take(batch: Batch, from: number): void {
    for (let at = from; at < batch.length; ) {
      if (this.#work > this.#limit) {
        this.#backlog.unshift({ batch, from: at })
        break
      }
      const kind = batch[at]
      // The type first, as everywhere here: a text could name something else that an array has.
      if (typeof kind !== 'number') return this.#violation('a frame whose kind is no number')
      const length = FRAME_LENGTH[kind]
      if (length === undefined) return this.#violation('a frame of no kind that there is')
      if (at + length > batch.length || !this.#read(batch, at)) return this.#violation(`a malformed frame of kind ${kind}`)
      if (this.#stopped) return
      at += length
      this.#work += length
    }
    if (this.#work < WORTH_COUNTING || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#nextTurn)
  }

  #resume(): void {
    this.#work = 0
    while (this.#work <= this.#limit) {
      const next = this.#backlog.shift()
      if (next === undefined) return
      this.#take(next.batch, next.from)
    }
  }

  #violation(what: string): void {
    this.stop()
    this.#onViolation(what)
  }
}
