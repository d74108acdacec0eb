/** A replacement that is under way, and which version of the tenant it brings. */
interface Reload {
  readonly revision: string
  readonly done: Promise<void>
}

/** Replacements of groups, one at a time for each key. */
export class Reloads {
  readonly #running = new Map<string, Reload>()

  has(key: string): boolean {
    return this.#running.has(key)
  }

  /** Who wants the version that starts already shares it; another one follows it, whatever becomes of that. */
  once(key: string, revision: string, replace: () => Promise<void>): Promise<void> {
    const running = this.#running.get(key)
    if (running?.revision === revision) return running.done
    // How the earlier one went is the business of who asked for it.
    const replaced = running === undefined ? replace() : running.done.catch(() => {}).then(replace)
    const done = replaced.finally(() => {
      if (this.#running.get(key)?.done === done) this.#running.delete(key)
    })
    this.#running.set(key, { revision, done })
    return done
  }
}
