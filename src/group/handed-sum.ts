import type { Context } from '../context/context.ts'
import type { Group } from './group.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { Handed } from './handed.ts'
import type { Registry } from './registry.ts'

/** What all groups of a process do on connections that were handed over. */
export class HandedSum {
  readonly #groups: () => readonly Group[]
  readonly #registry: Registry<Group>
  readonly #options: GroupsOptions
  /** Contexts that were given one and may have it still: also of no group any more, until their threads are gone. */
  readonly #holders = new Map<Context, Handed>()
  #inFlight = 0

  constructor(groups: () => readonly Group[], registry: Registry<Group>, options: GroupsOptions) {
    this.#groups = groups
    this.#registry = registry
    this.#options = options
  }

  /** Requests under way at the last look, and connections handed over since: roughly, and at no cost. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** A connection was handed over to it: it brings a request. */
  note({ context, handed }: { readonly context: Context; readonly handed: Handed }): void {
    this.#holders.set(context, handed)
    this.#inFlight++
    this.#options.onHandedOver?.()
  }

  /**
   * Connections that are open: counted one context after the other. Of none more than it was given: maxConnections looks
   * at this, and what one tenant writes on its scoreboard would close the server to all.
   */
  count(): number {
    let sum = 0
    for (const [{ state }, { open, given }] of this.#holders) if (state !== 'exited') sum += Math.min(open, given)
    return sum
  }

  /** The supervisor looks: what was served meanwhile is as much use of a group as what comes through the front. */
  look(now: number): void {
    this.#inFlight = 0
    for (const context of this.#holders.keys()) if (context.state === 'exited') this.#holders.delete(context)
    for (const group of this.#groups()) {
      let served = 0
      let inFlight = 0
      for (const { handed } of group.members) {
        served += handed.look()
        inFlight += handed.inFlight
      }
      this.#inFlight += inFlight
      if (served > 0 || inFlight > 0) group.noteUse(now, served > 0)
      if (served === 0) continue
      const { key } = group.target
      if (this.#registry.peek(key) === group) this.#registry.use(key, now)
      this.#options.onHandedUse?.(served)
    }
  }
}
