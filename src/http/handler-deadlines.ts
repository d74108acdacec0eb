import { Slots } from '../wire/slots.ts'
import type { Clock } from '../clock.ts'

/** A request that waits for the head of its answer. */
export interface AwaitingHead {
  readonly startedAt: number
  readonly handlerTimeout: number
  handlerTimedOut(): void
}

/** How late a handler's deadline may be noticed. One sweep for all requests costs less than a timer for each. */
const SWEEP_INTERVAL = 250

/** Ends requests whose application does not begin its answer in time. */
export class HandlerDeadlines {
  readonly clock: Clock
  readonly #waiting = new Slots<AwaitingHead>()
  #stop: (() => void) | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Returns the number to `delete` it by; 0 where there is nothing to watch. */
  add(request: AwaitingHead): number {
    if (request.handlerTimeout === 0) return 0
    const number = this.#waiting.next()
    this.#waiting.put(number, request)
    this.#stop ??= this.clock.every(SWEEP_INTERVAL, () => this.#sweep())
    return number
  }

  delete(number: number): void {
    this.#waiting.delete(number)
  }

  close(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  #sweep(): void {
    if (this.#waiting.size === 0) return this.close()
    const now = this.clock.now()
    for (const request of this.#waiting.values()) {
      if (now - request.startedAt >= request.handlerTimeout) request.handlerTimedOut()
    }
  }
}
