import { publish } from '../events.ts'
import { backOff } from './backoff.ts'
import type { Clock } from '../clock.ts'
import type { Context, ContextSpec, SpareContext } from '../context/context.ts'
import type { EndReason } from '../events.ts'

/** From a start until a spare context follows it: the new context serves its first requests meanwhile. Milliseconds. */
const QUIET = 50

/** After memory was short; milliseconds. A spare is the first to go, and must not come back to be it again. */
const AFTER_PRESSURE = 60_000

/** What spares need from the house. */
export interface SparesHouse {
  readonly clock: Clock
  readonly random: () => number
  /** How many are kept. */
  readonly wanted: number
  /** undefined where none can be started now. */
  create(): SpareContext | undefined
  /** Whether one more thread may start beside `threads` of spares. */
  hasRoom(threads: number): boolean
  /** A thread ended that was given up: whoever waits for its place may have it. */
  onGone(): void
}

/**
 * Contexts that have booted and wait for a tenant, so that a cold start is the import of the application. They are
 * started when nothing else is, one after the other, and give way to whatever needs their place.
 */
export class Spares {
  readonly #house: SparesHouse
  /** Starting or waiting, in this order. */
  readonly #kept = new Set<SpareContext>()
  readonly #ending = new Set<SpareContext>()
  #taken = 0
  /** Deaths since one was last taken. */
  #failures = 0
  #retryAt = 0
  #stopTimer: (() => void) | undefined
  #stopped = false

  constructor(house: SparesHouse) {
    this.#house = house
  }

  /** Those that have booted. */
  get waiting(): number {
    return [...this.#kept].filter(({ state }) => state === 'spare').length
  }

  /** Threads that they hold, ending ones among them. */
  get threads(): number {
    return this.#kept.size + this.#ending.size
  }

  /** How many became contexts. */
  get taken(): number {
    return this.#taken
  }

  /** Whether `take` has one for it. */
  has(spec: ContextSpec): boolean {
    return fitsSpare(spec) && this.#next() !== undefined
  }

  /** The one that began first becomes the context of `spec`: even one that still boots is ahead of a new thread. */
  take(spec: ContextSpec): Context | undefined {
    const spare = fitsSpare(spec) ? this.#next() : undefined
    if (spare === undefined) return undefined
    this.#kept.delete(spare)
    this.#taken++
    this.#failures = 0
    return spare.take(spec)
  }

  /** Ends one, if there is any; says whether a thread of a spare is ending now. */
  giveUp(reason: EndReason): boolean {
    const spare = [...this.#kept].at(-1)
    if (reason === 'pressure') this.#retryAt = this.#house.clock.now() + AFTER_PRESSURE
    if (spare !== undefined) this.#end(spare, reason)
    return this.#ending.size > 0
  }

  /** Starts what is missing, a moment later. */
  refill(wait: number = QUIET): void {
    if (this.#stopped || this.#stopTimer !== undefined || this.#kept.size >= this.#house.wanted) return
    const { clock } = this.#house
    this.#stopTimer = clock.after(Math.max(wait, this.#retryAt - clock.now()), () => {
      this.#stopTimer = undefined
      this.#startOne()
    })
  }

  /** None is kept any more. */
  stop(): void {
    this.#stopped = true
    this.#stopTimer?.()
    for (const spare of this.#kept) this.#end(spare, 'shutdown')
  }

  /** Resolves when those that were told to end have. */
  async ended(): Promise<void> {
    await Promise.all([...this.#ending].map(async ({ ended }) => await ended))
  }

  #next(): SpareContext | undefined {
    return [...this.#kept].find(({ state }) => state === 'starting' || state === 'spare')
  }

  #startOne(): void {
    // A start that is under way asks again when it is done.
    if (!this.#house.hasRoom(this.threads)) return
    // One at a time: two would take twice the CPU from those who serve.
    if (![...this.#kept].some(({ state }) => state === 'starting')) {
      let spare: SpareContext | undefined
      try {
        spare = this.#house.create()
      } catch (error) {
        this.#onFailure(error)
        return
      }
      if (spare === undefined) return
      this.#kept.add(spare)
      void spare.ended.then(() => this.#onEnded(spare))
    }
    this.refill()
  }

  #end(spare: SpareContext, reason: EndReason): void {
    this.#kept.delete(spare)
    this.#ending.add(spare)
    spare.end(reason)
  }

  #onEnded(spare: SpareContext): void {
    if (this.#ending.delete(spare)) {
      this.#house.onGone()
    } else if (this.#kept.delete(spare)) {
      this.#onFailure(undefined)
    }
  }

  /** A machine that cannot start threads must not try for ever at once. */
  #onFailure(error: unknown): void {
    const { clock, random } = this.#house
    this.#failures++
    this.#retryAt = clock.now() + backOff(this.#failures, random())
    if (this.#failures === 1 && error instanceof Error) publish('tenantry:warning', { message: `No context could be kept spare: ${error.message}` })
    this.refill()
  }
}

/**
 * Whether a thread that was started without a tenant can become this context: the permission model is a flag of the
 * thread, and Node reads variables of its own (NODE_OPTIONS, NODE_PATH, NODE_DEBUG…) when a thread starts. Whatever else
 * is in an environment may come later: tried on Node 20 to 26, `process.env` then is the same in every respect.
 */
function fitsSpare({ permission, env }: ContextSpec): boolean {
  return permission === undefined && !Object.keys(env).some((name) => /^NODE_/i.test(name) && name !== 'NODE_ENV')
}
