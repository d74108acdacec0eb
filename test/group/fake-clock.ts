import type { Clock } from '../../src/clock.ts'

interface Timer {
  at: number
  readonly every: number | undefined
  readonly run: () => void
}

/** A clock that stands still until it is told otherwise. */
export class FakeClock implements Clock {
  #now = 1_000_000
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  after(milliseconds: number, run: () => void): () => void {
    return this.#add({ at: this.#now + milliseconds, every: undefined, run })
  }

  every(milliseconds: number, run: () => void): () => void {
    return this.#add({ at: this.#now + milliseconds, every: milliseconds, run })
  }

  get timers(): number {
    return this.#timers.size
  }

  /** Lets time pass, every timer at its moment, and promises settle between them. */
  async pass(milliseconds: number): Promise<void> {
    const until = this.#now + milliseconds
    await settle()
    for (;;) {
      const next = [...this.#timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#now = Math.max(this.#now, next.at)
      if (next.every === undefined) this.#timers.delete(next)
      else next.at += next.every
      next.run()
      await settle()
    }
    this.#now = until
    await settle()
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
}

/** Every promise that can settle now has settled. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
