import { mayKeepSpare, mayStartNow, mayWiden } from './admission.ts'
import { specOf } from './context-spec.ts'
import { Spares } from './spares.ts'
import type { Clock } from '../clock.ts'
import type { Group } from './group.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { Headcount } from './headcount.ts'

/** Contexts that are to start, and when they do. */
export class Births {
  readonly spares: Spares
  readonly #limits: GroupsOptions
  readonly #clock: Clock
  readonly #count: Headcount
  /** Groups that wait for a place, in their order. */
  readonly #pending = new Set<Group>()
  #pumping = false

  constructor(limits: GroupsOptions, count: Headcount) {
    this.#limits = limits
    this.#clock = limits.clock
    this.#count = count
    const { clock, random = Math.random, spares = 0, createSpare } = limits
    this.spares = new Spares({
      clock, random,
      wanted: spares,
      create: () => createSpare?.(),
      hasRoom: (threads) => mayKeepSpare(count, threads, limits),
      onGone: () => this.pump(),
    })
  }

  /** How many wait for a place. */
  get pending(): number {
    return this.#pending.size
  }

  /** A birth that admission granted: it happens now, or when there is a place. */
  add(group: Group): void {
    this.#count.payStart(this.#clock.now())
    this.#pending.add(group)
    this.abandon(group)
    this.pump()
  }

  /** The group leaves the table: it waits for nothing any more. */
  remove(group: Group): void {
    this.#pending.delete(group)
  }

  /** Where nobody wants its start any more, it does not happen. */
  abandon(group: Group): void {
    if (!group.wanted && this.#pending.delete(group)) group.abandon()
  }

  /** Starts what waits for a place, as far as there are places. */
  pump(): void {
    // A start that fails at once comes back here.
    if (this.#pumping) return
    this.#pumping = true
    for (const group of this.#pending) {
      if (!mayStartNow(this.#count, this.#limits) || this.#limits.mayStart?.() === false || !this.#hasThread(group)) break
      this.#pending.delete(group)
      group.launch()
    }
    this.#pumping = false
  }

  /** Spare contexts hold threads, but nobody's place: a start takes one, or has one end and waits for that. */
  #hasThread(group: Group): boolean {
    if (this.#count.contexts + this.spares.threads < this.#limits.maxContexts) return true
    if (this.spares.has(specOf(group.target))) return true
    this.spares.giveUp('lru')
    return false
  }

  /** One more context for a group that serves already: it takes nobody's place, and waits for none. */
  widen(group: Group): void {
    const now = this.#clock.now()
    if (!group.short || !mayWiden(this.#count, this.#limits, now)) return
    if (this.#limits.mayStart?.() === false || !this.#hasThread(group)) return
    this.#count.payStart(now)
    group.launch()
  }
}
