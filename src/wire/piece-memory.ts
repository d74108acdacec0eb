import { MAX_PIECE } from './frames.ts'

/** Full pieces that wait to be filled again; as many as two windows have. */
const MOST = 16

/**
 * Memory of full pieces that came back to the context that had made them: bodies go round in the same few, one after the
 * other, instead of asking the system for new pages each. New ones are memory outside V8's heap, and so much of it makes
 * V8 collect the whole heap again and again: a third of the CPU of answers of 1 MB (measured).
 */
export class PieceMemory {
  /** Weakly: a context that has become idle keeps nothing for bodies that may never come, beyond its next collection. */
  #free = new WeakRef<ArrayBuffer[]>([])

  /** Memory of exactly one full piece; what is in it is an earlier one's. */
  take(): ArrayBuffer | undefined {
    return this.#free.deref()?.pop()
  }

  put(memory: readonly ArrayBuffer[]): void {
    const free = this.#free.deref() ?? []
    for (const buffer of memory) if (free.length < MOST && buffer.byteLength === MAX_PIECE) free.push(buffer)
    this.#free = new WeakRef(free)
  }
}
