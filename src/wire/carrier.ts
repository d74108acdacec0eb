import { PieceMemory } from './piece-memory.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Batch } from './frames.ts'

/** What moves batches: a message port now, a Unix socket for a daemon. */
export interface Carrier {
  /** Whether what is transferred moves, so that its memory can go round. */
  readonly movesMemory: boolean
  /** Of full pieces, for whoever makes the next. */
  readonly memory: PieceMemory
  /** Never throws: a carrier that is closed drops the batch, and `onClose` has said so. */
  post(batch: Batch, transfer: ArrayBuffer[]): void
  close(): void
}

/**
 * A carrier on one end of a MessageChannel. Works between threads and, for
 * tests, within one. `onBatch` receives whatever the other side posted: it is
 * the reader's task to check it.
 */
export class PortCarrier implements Carrier {
  readonly movesMemory = true
  readonly memory = new PieceMemory()
  readonly #port: MessagePort
  #closed = false

  constructor(port: MessagePort, onBatch: (batch: unknown) => void, onClose: () => void) {
    this.#port = port
    port.on('message', onBatch)
    port.once('close', () => {
      this.#closed = true
      onClose()
    })
    // A message that cannot be deserialised carries nothing we could use.
    port.on('messageerror', () => this.close())
  }

  post(batch: Batch, transfer: ArrayBuffer[]): void {
    if (this.#closed) return
    if (transfer.length === 0) this.#port.postMessage(batch)
    else this.#port.postMessage(batch, transfer)
  }

  ref(): void {
    this.#port.ref()
  }

  /** What is posted has left: the port outlives its thread. */
  async written(): Promise<void> {}

  /** An idle relay does not keep the process alive. */
  unref(): void {
    this.#port.unref()
  }

  close(): void {
    this.#closed = true
    this.#port.close()
  }
}
