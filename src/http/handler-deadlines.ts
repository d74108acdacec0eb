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
  readonly #clock: Clock
  readonly #waiting = new Set<AwaitingHead>()
  #stop: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(request: AwaitingHead): void {
    if (request.handlerTimeout === 0) return
    this.#waiting.add(request)
    this.#stop ??= this.#clock.every(SWEEP_INTERVAL, () => this.#sweep())
  }

  delete(request: AwaitingHead): void {
    this.#waiting.delete(request)
  }

  close(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  #sweep(): void {
    if (this.#waiting.size === 0) return this.close()
    const now = this.#clock.now()
    for (const request of this.#waiting) {
      if (now - request.startedAt < request.handlerTimeout) continue
      this.#waiting.delete(request)
      request.handlerTimedOut()
    }
  }
}
