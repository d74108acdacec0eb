import type { VictimScope } from './admission.ts'
import type { Births } from './births.ts'
import type { Group } from './group.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { Headcount } from './headcount.ts'
import type { GroupTarget } from './lease.ts'
import type { Registry } from './registry.ts'

/** Who goes when room is needed. */
export class Eviction {
  readonly #limits: GroupsOptions
  readonly #registry: Registry<Group>
  readonly #count: Headcount
  readonly #births: Births

  constructor(limits: GroupsOptions, registry: Registry<Group>, count: Headcount, births: Births) {
    this.#limits = limits
    this.#registry = registry
    this.#count = count
    this.#births = births
  }

  /** Evicts the idle group that is worth least; false when all in the scope are busy. */
  makeRoom({ samePattern, withContext }: VictimScope, target: GroupTarget): boolean {
    const hasRow = this.#registry.peek(target.key) !== undefined || this.#registry.size < this.#limits.maxGroups
    if (withContext && !samePattern && hasRow && this.#shed()) return true
    const victim = this.#registry.victim({ samePattern, withContext }, target.pattern)
    victim?.retire('lru')
    return victim !== undefined
  }

  /** A place for the context that is to replace those of `old`, which goes on if that fails; false when there is none. */
  makeRoomBeside(old: Group): boolean {
    if (this.#shed()) return true
    const victim = this.#registry.victim({ samePattern: false, withContext: true }, '', old)
    victim?.retire('lru')
    return victim !== undefined || old.shed('reload')
  }

  /** Over maxMemory the idle groups go, the longest unused first, one at a time: the next look sees what it gave. */
  watchMemory(now: number): void {
    const { maxMemory, residentMemory } = this.#limits
    this.#count.strained = maxMemory > 0 && residentMemory() > maxMemory
    if (!this.#count.strained || this.#count.ending > 0 || this.#births.spares.giveUp('pressure')) return
    this.#longestUnused(now, (group) => group.idle && group.holdsContext)?.retire('pressure')
  }

  /** Before a group goes, an idle context goes that its group can do without; false when there is none. */
  #shed(): boolean {
    return this.#longestUnused(this.#limits.clock.now(), ({ spare }) => spare?.busy === false)?.shed('lru') ?? false
  }

  #longestUnused(now: number, mayGo: (group: Group) => boolean): Group | undefined {
    return [...this.#registry.values()].filter(mayGo).toSorted((a, b) => b.unusedFor(now) - a.unusedFor(now))[0]
  }
}
