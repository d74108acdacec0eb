/**
 * `maxConnections`: the connections of all servers of a runtime, in the front and
 * handed over. Contexts count their own, and are asked only where the bound may be
 * reached.
 */
export class ConnectionBound {
  readonly max: number
  readonly #countHanded: () => number
  /** In the front. */
  #here = 0
  /** Handed over, and open when they were counted or given since: never fewer than there are. */
  #handed = 0

  /** `max`: 0 is off. `countHanded`: how many that were handed over are open, never fewer than there are. */
  constructor(max: number, countHanded: () => number) {
    this.max = max
    this.#countHanded = countHanded
  }

  /** One more is here; false, and not counted, where there is no room for it. */
  enter(): boolean {
    if (this.max > 0 && this.#here + this.#handed >= this.max) {
      this.#handed = this.#countHanded()
      if (this.#here + this.#handed >= this.max) return false
    }
    this.#here++
    return true
  }

  /** One that was here is gone. */
  leave(): void {
    this.#here--
  }

  /** One that was here is a context's. */
  handOver(): void {
    this.#here--
    this.#handed++
  }
}
