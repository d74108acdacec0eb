/** What a context still waits for before it may end: work that was handed to `waitUntil`. */
export class Lifecycle {
  readonly #pending = new Set<Promise<unknown>>()

  /** Keeps the context until the promise settles, within drainTimeout; its rejection is the application's, and uncaught. */
  waitUntil(promise: unknown): void {
    const settled = Promise.resolve(promise).finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
  }

  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
  }
}
