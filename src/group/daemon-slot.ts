import { TenantryError } from '../errors.ts'
import { backOff } from './backoff.ts'
import { Groups } from './groups.ts'
import type { Context, ContextSpec } from '../context/context.ts'
import type { Daemon } from '../context/daemon.ts'
import type { EndReason } from '../events.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { GroupTarget } from './lease.ts'

/** A daemon that lived for so long did not fail: the next one starts at once. Milliseconds. */
const PROVEN = 10_000

/** What a slot needs of the house. */
export interface SlotHost {
  readonly groups: Omit<GroupsOptions, 'createContext' | 'mayStart'>
  openDaemon(): Daemon
  startIn(daemon: Daemon, spec: ContextSpec): Context
}

/**
 * One process of a process group: its application groups, and the daemon in
 * which their contexts run. The daemon starts with the first context; after one
 * that died, the next birth starts another, and the requests wait for it.
 */
export class DaemonSlot {
  readonly groups: Groups
  readonly startedAt: number
  /** Leases that are out and requests that wait; kept up by the group that has several slots. */
  load = 0
  /** Requests that it was given. */
  requests = 0
  usedAt: number
  readonly #host: SlotHost
  #daemon: Daemon | undefined
  #failures = 0
  #retryAt = 0

  constructor(host: SlotHost) {
    this.#host = host
    const { clock } = host.groups
    this.startedAt = this.usedAt = clock.now()
    this.groups = new Groups({
      ...host.groups,
      createContext: (spec) => host.startIn(this.#living(), spec),
      mayStart: () => clock.now() >= this.#retryAt,
    })
  }

  /** undefined before the first context, and between two daemons. */
  get daemon(): Daemon | undefined {
    return this.#daemon
  }

  /** Starts the daemon ahead of its first context; rejects when it cannot be had. */
  async start(): Promise<void> {
    await this.#living().ready
  }

  /** Has the groups of these targets started, as far as they can be, before anybody asks for them. */
  async warm(targets: readonly GroupTarget[]): Promise<void> {
    await Promise.allSettled(targets.map(async (target) => (await this.groups.acquire(target)).release(false)))
  }

  /** Ends the daemon; its groups are done. */
  async end(reason: EndReason): Promise<void> {
    this.#daemon?.end(reason)
    await this.#daemon?.ended
  }

  #living(): Daemon {
    if (this.#daemon !== undefined && !['ending', 'exited'].includes(this.#daemon.state)) return this.#daemon
    const { clock, random = Math.random } = this.#host.groups
    const bornAt = clock.now()
    let daemon: Daemon
    try {
      daemon = this.#host.openDaemon()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TenantryError('ERR_START_FAILED', `No daemon could be started: ${why}`, { cause })
    }
    this.#daemon = daemon
    void daemon.ended.then(({ reason }) => {
      if (this.#daemon !== daemon) return
      this.#daemon = undefined
      const failed = ['crash', 'exit', 'startup', 'protocol', 'deadlock'].includes(reason)
      this.#failures = failed && clock.now() - bornAt < PROVEN ? this.#failures + 1 : 0
      // The first failure may be an accident: it costs those who wait nothing but the start.
      this.#retryAt = clock.now() + backOff(this.#failures - 1, random())
      clock.after(Math.max(0, this.#retryAt - clock.now()), () => this.groups.resume())
    })
    return daemon
  }
}
