import type { Context, ContextEnd } from '../context/context.ts'
import type { EndReason } from '../events.ts'
import type { Census } from './admission.ts'
import { fullRate, refill, takeOne } from './start-rate.ts'
import type { StartRate } from './start-rate.ts'

/**
 * A start that takes longer waits for something, and others may start meanwhile: a few that hang must not hold
 * everybody's. An ordinary one needs a few hundred milliseconds.
 */
export const SLOW_START = 2000

/** A thread that could not be ended, and whose it was. */
export interface ZombieStats {
  readonly contextId: number
  readonly label: string
}

/** Every context that holds a thread, counted once from its start to its end. */
export class Headcount implements Census {
  draining = false
  births = 0
  /** How many contexts ended, by why; one that became a zombie ended then. */
  readonly ends: Partial<Record<EndReason, number>> = {}
  /** The process held more than maxMemory at the last look. */
  strained = false
  readonly #alive = new Set<Context>()
  /** Since when they start, in this order; slow ones are let go of. */
  readonly #starting = new Map<Context, number>()
  readonly #ending = new Set<Context>()
  readonly #zombies = new Set<Context>()
  readonly #maxStarts: number
  readonly #groups: () => number
  readonly #pending: () => number
  #rate: StartRate

  constructor(maxStarts: number, now: number, groups: () => number, pending: () => number) {
    this.#maxStarts = maxStarts
    this.#rate = fullRate(maxStarts, now)
    this.#groups = groups
    this.#pending = pending
  }

  get groups(): number {
    return this.#groups()
  }

  get pending(): number {
    return this.#pending()
  }

  get contexts(): number {
    return this.#alive.size + this.#zombies.size
  }

  /** Starts under way that count against maxStarting. */
  get starting(): number {
    return this.#starting.size
  }

  get ending(): number {
    return this.#ending.size
  }

  get zombies(): number {
    return this.#zombies.size
  }

  /** Which threads could not be ended. */
  get zombieContexts(): ZombieStats[] {
    return [...this.#zombies].map(({ id, spec }) => ({ contextId: id, label: spec.label }))
  }

  /** Contexts whose end is still to come. */
  get alive(): ReadonlySet<Context> {
    return this.#alive
  }

  get rate(): StartRate {
    return this.#rate
  }

  /** Pays for one birth out of maxStarts. */
  payStart(now: number): void {
    if (this.#maxStarts > 0) this.#rate = takeOne(refill(this.#rate, this.#maxStarts, now))
  }

  born(context: Context, now: number): void {
    this.births++
    this.#alive.add(context)
    this.#starting.set(context, now)
  }

  /** Lets go of starts that take long; says whether there were any. */
  passSlowStarts(now: number): boolean {
    const before = this.#starting.size
    for (const [context, since] of this.#starting) {
      if (now - since < SLOW_START) break
      this.#starting.delete(context)
    }
    return this.#starting.size < before
  }

  ready(context: Context): void {
    this.#starting.delete(context)
  }

  /** It was told to end. */
  end(context: Context): void {
    if (this.#alive.has(context)) this.#ending.add(context)
  }

  ended(context: Context, end: ContextEnd): void {
    this.#alive.delete(context)
    this.#starting.delete(context)
    this.#ending.delete(context)
    this.ends[end.reason] = (this.ends[end.reason] ?? 0) + 1
    if (end.zombie && context.state === 'zombie') this.#zombies.add(context)
  }

  /** Lets go of zombies whose thread ended after all; says whether there were any. */
  bury(): boolean {
    const before = this.#zombies.size
    for (const context of this.#zombies) {
      if (context.state === 'exited') this.#zombies.delete(context)
    }
    return this.#zombies.size < before
  }
}
