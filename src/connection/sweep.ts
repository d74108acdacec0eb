import type { Clock } from '../clock.ts'

/** Something with a deadline that may move. */
export interface Watched {
  /** By the clock; it is left alone before. */
  deadline: number
  /** The sweep's own: where it stands, -1 while it does not. */
  place: number
  /** The deadline has passed: moves it, leaves the sweep or acts. */
  due(now: number): void
}

/** How late a deadline may be noticed. Milliseconds. */
const SWEEP_INTERVAL = 100

/**
 * One timer for all deadlines: whoever is not due costs a comparison, and what
 * happens meanwhile costs nothing. An array without gaps and not a Set, which
 * would keep its outgrown tables alive (see Slots); unlike Slots, it has no limit.
 */
export class Sweep {
  readonly clock: Clock
  readonly #watched: Watched[] = []
  #stop: (() => void) | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  get size(): number {
    return this.#watched.length
  }

  add(item: Watched): void {
    item.place = this.#watched.length
    this.#watched.push(item)
    this.#stop ??= this.clock.every(SWEEP_INTERVAL, () => this.look())
  }

  /** Does nothing for one that has left. */
  delete(item: Watched): void {
    if (item.place === -1) return
    const last = this.#watched.pop() as Watched
    if (last !== item) {
      this.#watched[item.place] = last
      last.place = item.place
    }
    item.place = -1
  }

  /** Looks at all who are due now, and not only when it is time to. */
  look(): void {
    const now = this.clock.now()
    // From the end: whoever takes the place of one that leaves has been looked at.
    for (let at = this.#watched.length - 1; at >= 0; at--) {
      const item = this.#watched[at]
      if (item !== undefined && now >= item.deadline) item.due(now)
    }
    if (this.#watched.length > 0) return
    this.#stop?.()
    this.#stop = undefined
  }
}
