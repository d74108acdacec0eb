import type { Clock } from '../../src/clock.ts'

/** A clock that stands still until it is advanced; timers then run in order. */
export class FakeClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ at: number; run: () => void; period: number | undefined }>()

  now(): number {
    return this.#now
  }

  /** How many are set. */
  get timers(): number {
    return this.#timers.size
  }

  after(milliseconds: number, run: () => void): () => void {
    return this.#add(milliseconds, run, undefined)
  }

  every(milliseconds: number, run: () => void): () => void {
    return this.#add(milliseconds, run, milliseconds)
  }

  advance(milliseconds: number): void {
    const end = this.#now + milliseconds
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#now = due.at
      if (due.period === undefined) this.#timers.delete(due)
      else due.at += due.period
      due.run()
    }
    this.#now = end
  }

  #add(milliseconds: number, run: () => void, period: number | undefined): () => void {
    const timer = { at: this.#now + milliseconds, run, period }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
}
