import type { Clock } from '../clock.ts'
import type { Context } from '../context/context.ts'
import type { Lease } from './lease.ts'

interface Waiter {
  readonly resolve: (lease: Lease) => void
  readonly reject: (error: Error) => void
  stopTimer: () => void
}

/** Takes a waiting request out, because its client left: its promise rejects with `reason`. Idle once it is settled. */
export type CancelWait = (reason: Error) => void

/** Who asks for a lease. An object and not a closure: it is made for every request, and few have to wait. */
export interface Waiting {
  /** The request has to wait; `cancel` takes it out again. */
  onWait(cancel: CancelWait): void
  /** The relay into the context to which its client's connection is known: of equals it gets the request. */
  readonly home?: Context['channel'] | undefined
}

/** Requests that wait for a slot, in their order, each until its deadline. Bounded by admission. */
export class WaitQueue {
  readonly #clock: Clock
  // A set keeps the order and lets go of any member at once.
  readonly #waiters = new Set<Waiter>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#waiters.size
  }

  /** `who` gets the function that takes the request out again; `onLeave` runs when it went without a lease. */
  add(
    timeout: number,
    timeoutError: () => Error,
    onLeave: () => void,
    who: Waiting | undefined,
  ): Promise<Lease> {
    return new Promise<Lease>((resolve, reject) => {
      const waiter: Waiter = { resolve, reject, stopTimer: () => {} }
      const leave: CancelWait = (reason) => {
        if (!this.#waiters.delete(waiter)) return
        waiter.stopTimer()
        reject(reason)
        onLeave()
      }
      this.#waiters.add(waiter)
      if (timeout > 0) waiter.stopTimer = this.#clock.after(timeout, () => leave(timeoutError()))
      who?.onWait(leave)
    })
  }

  /** Hands a lease to the one who waited longest; the queue must not be empty. */
  grant(lease: Lease): void {
    const [waiter] = this.#waiters
    if (waiter === undefined) throw new RangeError('nobody waits')
    this.#waiters.delete(waiter)
    waiter.stopTimer()
    waiter.resolve(lease)
  }

  rejectAll(error: Error): void {
    const left = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of left) {
      waiter.stopTimer()
      waiter.reject(error)
    }
  }
}
