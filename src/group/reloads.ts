import { TenantryError } from '../errors.ts'
import { placesLeft, refuseUnwell } from './admission.ts'
import type { Refusal } from './admission.ts'
import type { Eviction } from './eviction.ts'
import type { Group } from './group.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { Headcount } from './headcount.ts'
import type { GroupTarget } from './lease.ts'
import type { Registry } from './registry.ts'

/** A replacement that is under way, and which version of the tenant it brings. */
interface Reload {
  readonly revision: string
  readonly done: Promise<void>
}

/** What replacements need of the house. */
export interface ReloadHost {
  readonly limits: GroupsOptions
  readonly count: Headcount
  readonly registry: Registry<Group>
  readonly eviction: Eviction
  refuse(refusal: Refusal, target: GroupTarget): TenantryError
  /** Starts a group beside the table, which hears how that went. */
  startBeside(target: GroupTarget, onOutcome: (group: Group, error: TenantryError | undefined) => void): void
  /** It is in the table now. */
  onSwitched(group: Group): void
}

/** Replacements of groups, one at a time for each key: the new one starts, takes the old one's place, the old one drains. */
export class Reloads {
  readonly #host: ReloadHost
  readonly #running = new Map<string, Reload>()

  constructor(host: ReloadHost) {
    this.#host = host
  }

  has(key: string): boolean {
    return this.#running.has(key)
  }

  /**
   * Resolves when that version of `target` serves, or nothing of it is there any more. Who wants the version that
   * starts already shares it; another one follows it, whatever becomes of that.
   */
  run(key: string, target: GroupTarget): Promise<void> {
    const { revision } = target.tenant
    const running = this.#running.get(key)
    if (running?.revision === revision) return running.done
    const replace = async (): Promise<void> => await this.#replace(key, target)
    // How the earlier one went is the business of who asked for it.
    const replaced = running === undefined ? replace() : running.done.catch(() => {}).then(replace)
    const done = replaced.finally(() => {
      if (this.#running.get(key)?.done === done) this.#running.delete(key)
    })
    this.#running.set(key, { revision, done })
    return done
  }

  async #replace(key: string, target: GroupTarget): Promise<void> {
    const { limits, count, registry, eviction } = this.#host
    const { label } = target
    const old = registry.peek(key)
    // Gone meanwhile: the next request starts the new code anyway.
    if (old === undefined) return
    if (count.draining) throw new TenantryError('ERR_DRAINING', 'The server is closing', { label })
    const refusal = refuseUnwell(count, limits)
    if (refusal !== undefined) throw this.#host.refuse(refusal, target)
    if (placesLeft(count, limits) <= 0 && !eviction.makeRoomBeside(old)) {
      throw new TenantryError('ERR_GROUP_LIMIT', 'No context is free for the new one (maxContexts)', { label })
    }
    if (target.key !== key) throw new TenantryError('ERR_STATE', `${key} cannot be replaced by ${target.key}`, { label })
    await new Promise<void>((resolve, reject) => {
      this.#host.startBeside(target, (group, error) => {
        if (error === undefined) {
          this.#switchTo(group)
          resolve()
        } else {
          group.retire('reload')
          reject(error)
        }
      })
    })
  }

  /** The replacement serves: it takes the place of the one that is there now. */
  #switchTo(group: Group): void {
    const { registry } = this.#host
    const current = registry.peek(group.target.key)
    if (current === undefined) {
      // Evicted meanwhile: the next request starts the new code anyway.
      group.retire('reload')
      return
    }
    registry.replace(current, group)
    this.#host.onSwitched(group)
    current.retire('reload')
  }
}
