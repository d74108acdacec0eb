import { TenantryError } from '../errors.ts'
import type { Sweep, Watched } from '../connection/sweep.ts'

/** A request that waits for a slot. */
export interface Waiter {
  /** Its client has left. */
  isGone(): boolean
  onSlot(): void
  onLate(error: TenantryError): void
}

/** Requests that wait for a slot in the context, in their order, none longer than `queueTimeout`. */
export class HandedQueue implements Watched {
  readonly deadline = 0
  place = -1
  readonly #sweep: Sweep
  readonly #label: string
  readonly #maxQueue: number
  readonly #timeout: number
  readonly #onChange: (queued: number) => void
  #waiters: { readonly waiter: Waiter; readonly since: number }[] = []

  constructor(sweep: Sweep, label: string, maxQueue: number, timeout: number, onChange: (queued: number) => void) {
    this.#sweep = sweep
    this.#label = label
    this.#maxQueue = maxQueue
    this.#timeout = timeout
    this.#onChange = onChange
  }

  get size(): number {
    return this.#waiters.length
  }

  /** Why it may not wait; undefined: it waits. */
  add(waiter: Waiter): TenantryError | undefined {
    const queued = this.#waiters.length
    if (queued >= this.#maxQueue) {
      const message = `${queued} requests already wait for this application (maxQueue)`
      return new TenantryError('ERR_QUEUE_FULL', message, { label: this.#label, retryAfter: 1 })
    }
    if (queued === 0) this.#sweep.add(this)
    this.#waiters.push({ waiter, since: this.#sweep.clock.now() })
    this.#onChange(queued + 1)
    return undefined
  }

  /** A slot for the one who has waited longest. */
  grant(): void {
    const next = this.#waiters.shift()
    this.#changed()
    next?.waiter.onSlot()
  }

  due(now: number): void {
    const before = this.#waiters
    const isLate = (since: number): boolean => this.#timeout > 0 && now - since >= this.#timeout
    this.#waiters = before.filter(({ waiter, since }) => !waiter.isGone() && !isLate(since))
    this.#changed()
    const message = `No slot within queueTimeout (${this.#timeout} ms)`
    for (const { waiter, since } of before) {
      if (!waiter.isGone() && isLate(since)) waiter.onLate(new TenantryError('ERR_QUEUE_TIMEOUT', message, { label: this.#label }))
    }
  }

  #changed(): void {
    if (this.#waiters.length === 0) this.#sweep.delete(this)
    this.#onChange(this.#waiters.length)
  }
}
