/** What an application asked to be told, when its context is about to end. */
export type DrainListener = () => unknown

/** What `tenantry/tenant` works on. */
export interface OwnContext {
  readonly label: string
  readonly processGroup: string
  onDrain(listener: DrainListener): () => void
  waitUntil(promise: unknown): void
}

/** Where the application's copy of `tenantry/tenant`, whichever it is, finds its context; tenant/api.ts knows it too. */
const CONTEXT = Symbol.for('tenantry.context')

/** What a context still waits for before it may end, and whom it tells. */
export class Lifecycle {
  readonly #pending = new Set<Promise<unknown>>()
  readonly #listeners = new Set<DrainListener>()
  #draining = false

  /** Lets `tenantry/tenant` find this context. Before tenant code loads: the names are read from its environment. */
  publish(): void {
    const { TENANTRY_APPLICATION_GROUP: label = '', TENANTRY_PROCESS_GROUP: processGroup = '' } = process.env
    const own: OwnContext = Object.freeze({
      label,
      processGroup,
      onDrain: (listener: DrainListener) => this.onDrain(listener),
      waitUntil: (promise: unknown) => this.waitUntil(promise),
    })
    Object.defineProperty(globalThis, CONTEXT, { value: own })
  }

  /** Keeps the context until the promise settles, within drainTimeout; its rejection is the application's, and uncaught. */
  waitUntil(promise: unknown): void {
    const settled = Promise.resolve(promise).finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
  }

  /** Called once, when the drain begins, or at once where it has; the context waits for what it returns. */
  onDrain(listener: DrainListener): () => void {
    if (this.#draining) this.#tell(listener)
    else this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  drain(): void {
    if (this.#draining) return
    this.#draining = true
    for (const listener of this.#listeners) this.#tell(listener)
  }

  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
  }

  /** One that fails must not take the requests along that are still in flight. */
  #tell(listener: DrainListener): void {
    const told = (async () => listener())().catch((error: unknown) => console.error(error))
    this.waitUntil(told)
  }
}
