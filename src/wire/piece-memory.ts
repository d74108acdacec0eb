/** As many as two windows have. */
const MOST = 16

/** Memory of full pieces that came back: new ones each time make V8 collect, half the CPU of answers of 1 MB (measured). */
export class PieceMemory {
  /** Weakly: an idle context keeps nothing for bodies that may never come. */
  #free = new WeakRef<ArrayBuffer[]>([])

  take(): ArrayBuffer | undefined {
    return this.#free.deref()?.pop()
  }

  put(memory: readonly ArrayBuffer[]): void {
    const free = this.#free.deref() ?? []
    free.push(...memory.slice(0, MOST - free.length))
    this.#free = new WeakRef(free)
  }
}
