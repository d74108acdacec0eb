import type { Carrier } from './carrier.ts'
import type { Batch } from './frames.ts'
import type { PieceMemory } from './piece-memory.ts'

/**
 * Collects the frames of one turn of the event loop and sends them as one
 * message. `setImmediate` runs after the turn's I/O callbacks, so under load one
 * message carries many requests; `process.nextTick` would send one each, which
 * costs about half as much CPU again (docs/architecture.md has the figures).
 */
export class Outbox {
  readonly #carrier: Carrier
  #batch: Batch = []
  #transfer: ArrayBuffer[] = []
  #turn = 0
  readonly #flush = (): void => {
    const batch = this.#batch
    if (batch.length === 0) return
    const transfer = this.#transfer
    this.#batch = []
    this.#transfer = []
    this.#turn++
    this.#carrier.post(batch, transfer)
  }

  constructor(carrier: Carrier) {
    this.#carrier = carrier
  }

  /** Changes when a batch leaves: a frame pushed under the same number can still be changed. */
  get turn(): number {
    return this.#turn
  }

  /** The batch of this turn, for a frame's elements to be pushed onto, all at once. */
  get batch(): Batch {
    if (this.#batch.length === 0) setImmediate(this.#flush)
    return this.#batch
  }

  get movesMemory(): boolean {
    return this.#carrier.movesMemory
  }

  get memory(): PieceMemory {
    return this.#carrier.memory
  }

  /** Moves the bytes' memory with the batch instead of copying it. */
  transfer(buffer: ArrayBuffer): void {
    this.#transfer.push(buffer)
  }

  /** Sends what there is now: before a thread ends there is no later turn. */
  flush(): void {
    this.#flush()
  }
}
