import { TenantryError } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { CloseCount, GroupsStats } from './group-stats.ts'
import type { Groups } from './groups.ts'
import type { GroupTarget, Lease } from './lease.ts'
import type { ProcessGroup } from './process-group.ts'
import type { ProcessGroupStats } from './process-group-stats.ts'
import type { Waiting } from './wait-queue.ts'

/** The groups of this process, and those of all process groups. */
export class ProcessGroups {
  readonly #own: Groups
  readonly #daemons: ReadonlyMap<string, ProcessGroup>

  constructor(own: Groups, daemons: ReadonlyMap<string, ProcessGroup>) {
    this.#own = own
    this.#daemons = daemons
  }

  /** Starts what is to be there ahead of the first request: daemons, and spare contexts. */
  start(): void {
    // Beside daemons, this process may never have a context of its own: the first one shows it.
    if (this.#daemons.size === 0) this.#own.start()
    for (const group of this.#daemons.values()) group.start()
  }

  /** As that of Groups; the resolver has made sure that the process group is declared. */
  acquire(target: GroupTarget, who?: Waiting): Lease | Promise<Lease> {
    if (target.processGroup === '') return this.#own.acquire(target, who)
    const group = this.#daemons.get(target.processGroup)
    if (group === undefined) {
      throw new TenantryError('ERR_PROCESS_GROUP_MISSING', `The process group '${target.processGroup}' is not declared`)
    }
    return group.acquire(target, who)
  }

  /** As that of Groups; a process group that is not declared is the request's own affair. */
  warm(target: GroupTarget): boolean {
    if (target.processGroup === '') return this.#own.warm(target)
    return this.#daemons.get(target.processGroup)?.warm(target) ?? false
  }

  async evict(name: string): Promise<boolean> {
    return (await Promise.all(this.#all().map(async (groups) => await groups.evict(name)))).includes(true)
  }

  retire(name: string, reason: EndReason): boolean {
    return this.#all().map((groups) => groups.retire(name, reason)).includes(true)
  }

  async reload(name: string, retarget?: (old: GroupTarget) => GroupTarget): Promise<boolean> {
    const all = [this.#own, ...this.#daemons.values()]
    return (await Promise.all(all.map(async (groups) => await groups.reload(name, retarget)))).includes(true)
  }

  /** Connections that were handed over and are open. */
  countHanded(): number {
    return this.#all().reduce((sum, { handed }) => sum + handed.count(), 0)
  }

  /** What the groups in the tables serve now; each key once, though several daemons may have it. */
  targets(): readonly GroupTarget[] {
    const targets = this.#all().flatMap((groups) => groups.targets())
    return [...new Map(targets.map((target) => [`${target.processGroup} ${target.key}`, target])).values()]
  }

  async close(deadline: number): Promise<CloseCount> {
    const counts = await Promise.all([this.#own, ...this.#daemons.values()].map(async (groups) => await groups.close(deadline)))
    return {
      ended: counts.reduce((sum, { ended }) => sum + ended, 0),
      terminated: counts.reduce((sum, { terminated }) => sum + terminated, 0),
      zombies: counts.reduce((sum, { zombies }) => sum + zombies, 0),
    }
  }

  async destroy(error: TenantryError): Promise<void> {
    await Promise.all([this.#own, ...this.#daemons.values()].map(async (groups) => await groups.destroy(error)))
  }

  stats(): GroupsStats & { readonly processGroups: readonly ProcessGroupStats[] } {
    return { ...this.#own.stats(), processGroups: [...this.#daemons.values()].map((group) => group.stats()) }
  }

  #all(): readonly Groups[] {
    return [this.#own, ...[...this.#daemons.values()].flatMap(({ groups }) => groups)]
  }
}
