import { TenantryError } from '../errors.ts'
import { backOff } from './backoff.ts'
import { Groups } from './groups.ts'
import type { Context, ContextSpec, SpareContext } from '../context/context.ts'
import type { Daemon, DaemonEnd } from '../context/daemon.ts'
import type { EndReason } from '../events.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { GroupTarget } from './lease.ts'

/** A daemon that lived for so long did not fail: the next one starts at once. Milliseconds. */
export const PROVEN = 10_000

/** Ends that the next daemon may meet as well. */
const FAILURES: ReadonlySet<EndReason> = new Set(['crash', 'exit', 'startup', 'protocol', 'deadlock', 'memory', 'cpu'])

/** What a slot needs of the house. */
export interface SlotHost {
  readonly groups: Omit<GroupsOptions, 'createContext' | 'createSpare' | 'mayStart' | 'look' | 'onHandedOver' | 'onHandedUse'>
  openDaemon(): Daemon
  startIn(daemon: Daemon, spec: ContextSpec): Context
  startSpareIn(daemon: Daemon): SpareContext
}

/**
 * One process of a process group: its application groups, and the daemon in
 * which their contexts run. The daemon starts with the first context; after one
 * that died, the next birth starts another, and the requests wait for it.
 */
export class DaemonSlot {
  readonly groups: Groups
  /** Of its daemon; of the slot where it has had none. */
  startedAt: number
  /** Leases that are out and requests that wait; kept up by the group that has several slots. */
  load = 0
  /** Requests that its daemon was given. */
  requests = 0
  usedAt: number
  /** A replacement that failed is not tried again before. */
  replaceAt = 0
  readonly #host: SlotHost
  #daemon: Daemon | undefined
  /** With those that end while the next one is there already. */
  readonly #alive = new Set<Daemon>()
  #failures = 0
  #isDown = false
  #stopRetry: () => void = () => {}

  constructor(host: SlotHost) {
    this.#host = host
    const { clock } = host.groups
    this.startedAt = this.usedAt = clock.now()
    this.groups = new Groups({
      ...host.groups,
      createContext: (spec) => host.startIn(this.#living(), spec),
      // No daemon is started for a spare one.
      createSpare: () => (this.#daemon?.state === 'serving' ? host.startSpareIn(this.#daemon) : undefined),
      mayStart: () => !this.#isDown,
      look: () => this.#daemon?.look(),
      // Its lease counted as one.
      onHandedOver: () => {
        this.requests--
      },
      onHandedUse: (requests) => {
        this.requests += requests
        this.usedAt = clock.now()
      },
    })
  }

  /** What it has to do, on both lanes. */
  get busy(): number {
    return this.load + this.groups.handed.inFlight
  }

  /** Its daemons died too soon: no other one starts yet. */
  get isDown(): boolean {
    return this.#isDown
  }

  /** undefined before the first context, and between two daemons. */
  get daemon(): Daemon | undefined {
    return this.#daemon
  }

  /** Starts the daemon ahead of its first context; rejects when it cannot be had. */
  async start(): Promise<void> {
    await this.#living().ready
    this.groups.start()
  }

  /** Has the group of this target started before anybody asks for it. */
  async warm(target: GroupTarget): Promise<void> {
    const lease = await this.groups.acquire(target)
    lease.release(false)
  }

  /** Ends the daemon; its groups are done. */
  async end(reason: EndReason): Promise<void> {
    for (const daemon of this.#alive) daemon.end(reason)
    await this.#gone()
  }

  /** As `end`, without waiting for what its groups still have. */
  async kill(reason: EndReason): Promise<void> {
    for (const daemon of this.#alive) daemon.kill(reason)
    await this.#gone()
  }

  async #gone(): Promise<void> {
    await Promise.all([...this.#alive].map(async ({ ended }) => await ended))
    this.#stopRetry()
  }

  #living(): Daemon {
    if (this.#daemon !== undefined && !['ending', 'exited'].includes(this.#daemon.state)) return this.#daemon
    let daemon: Daemon
    try {
      daemon = this.#host.openDaemon()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new TenantryError('ERR_START_FAILED', `No daemon could be started: ${why}`, { cause })
    }
    this.#daemon = daemon
    this.#alive.add(daemon)
    this.requests = 0
    const bornAt = (this.startedAt = this.#host.groups.clock.now())
    void daemon.ended.then((end) => {
      this.#alive.delete(daemon)
      if (this.#daemon === daemon) this.#daemon = undefined
      this.#onEnded(end, bornAt)
    })
    return daemon
  }

  #onEnded({ reason, exitCode }: DaemonEnd, bornAt: number): void {
    const { clock, random = Math.random } = this.#host.groups
    // Code 0 is an application on its main thread that finished.
    const failed = FAILURES.has(reason) && exitCode !== 0
    this.#failures = failed && clock.now() - bornAt < PROVEN ? this.#failures + 1 : 0
    // The first failure may be an accident: it costs those who wait nothing but the start.
    const wait = backOff(this.#failures - 1, random())
    this.#isDown = wait > 0
    this.#stopRetry()
    // Its word, and no look at the clock: a timer may come a fraction of a millisecond early, and nobody looks again.
    this.#stopRetry = clock.after(wait, () => {
      this.#isDown = false
      this.groups.resume()
    })
  }
}
