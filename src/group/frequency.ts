const ROWS = 4
const MOST = 15
/** 4 kB: with fewer counters the one-off visitors of a small house would overrate each other above its regulars. */
const LEAST_WIDTH = 1024
const ROW_FACTORS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const

/**
 * How often a key came lately, in memory that never grows: a count-min sketch of
 * small counters that are all halved from time to time, as in TinyLFU (Einziger,
 * Friedman, Manes 2017). It may overrate a key, never underrate it.
 */
export class Frequency {
  readonly #counters: Uint8Array
  readonly #mask: number
  readonly #halveAfter: number
  readonly #seed: number
  #added = 0

  /**
   * @param capacity how many keys matter at once
   * @param seed unknown to clients, so that nobody can aim at a neighbour's counters
   */
  constructor(capacity: number, seed: number) {
    const width = 2 ** Math.ceil(Math.log2(Math.max(LEAST_WIDTH, capacity * 8)))
    this.#counters = new Uint8Array(width * ROWS)
    this.#mask = width - 1
    // Long enough to remember what returns seldom: chosen by benchmarks/cases/policy.mjs.
    this.#halveAfter = Math.max(16, capacity) * 32
    this.#seed = seed | 0
  }

  add(key: string): void {
    const hash = this.#hash(key)
    for (let row = 0; row < ROWS; row++) {
      const cell = this.#cell(hash, row)
      const count = this.#counters[cell] as number
      if (count < MOST) this.#counters[cell] = count + 1
    }
    if (++this.#added >= this.#halveAfter) this.#halve()
  }

  /** 0 to 15. */
  of(key: string): number {
    const hash = this.#hash(key)
    let least = MOST
    for (let row = 0; row < ROWS; row++) least = Math.min(least, this.#counters[this.#cell(hash, row)] as number)
    return least
  }

  #halve(): void {
    this.#added = 0
    for (let cell = 0; cell < this.#counters.length; cell++) {
      this.#counters[cell] = (this.#counters[cell] as number) >> 1
    }
  }

  #hash(key: string): number {
    let hash = this.#seed ^ 0x811c9dc5
    for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
    return hash
  }

  #cell(hash: number, row: number): number {
    let mixed = Math.imul(hash ^ (hash >>> 15), ROW_FACTORS[row] as number)
    mixed ^= mixed >>> 13
    mixed = Math.imul(mixed, 0x5bd1e995)
    return row * (this.#mask + 1) + ((mixed ^ (mixed >>> 15)) & this.#mask)
  }
}
