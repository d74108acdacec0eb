import { asTenantryError, TenantryError } from '../errors.ts'
import { publish } from '../events.ts'
import { DaemonSlot, PROVEN } from './daemon-slot.ts'
import { CountedLease } from './counted-lease.ts'
import { mainTarget } from './main-target.ts'
import type { Daemon } from '../context/daemon.ts'
import type { EndReason } from '../events.ts'
import type { CloseCount } from './group-stats.ts'
import type { Groups } from './groups.ts'
import type { SlotHost } from './daemon-slot.ts'
import type { GroupTarget, Lease } from './lease.ts'
import type { ProcessGroupStats } from './process-group-stats.ts'
import type { Waiting } from './wait-queue.ts'

/** What a process group is held to. Milliseconds and bytes; 0 is off. */
export interface ProcessGroupLimits {
  readonly processes: number
  /** Requests that one daemon serves before it is replaced. */
  readonly maxRequests: number
  /** A daemon without a request for so long ends. */
  readonly idleTimeout: number
  readonly maxAge: number
  /** Of the whole daemon. */
  readonly cpuTimeLimit: number
  readonly memoryLimit: number
}

export interface ProcessGroupSettings extends SlotHost {
  readonly name: string
  readonly limits: ProcessGroupLimits
  /** Daemons are there before the first request. */
  readonly startAhead: boolean
}

/** How often daemons are looked at; milliseconds. */
const TICK = 500

/** Past this many times its memory or CPU limit a daemon is killed instead of drained. */
const HARD_FACTOR = 1.25

/** After a replacement that failed; milliseconds. */
const RETRY = 10_000

/**
 * A named set of daemons. Inside each of them application groups live as they do
 * in the front's own process, under caps of their own.
 */
export class ProcessGroup {
  readonly name: string
  readonly #settings: ProcessGroupSettings
  readonly #slots: DaemonSlot[]
  /** Slots that were replaced and finish what they have. */
  readonly #leaving = new Set<DaemonSlot>()
  /** Slots whose successor comes up. */
  readonly #replacing = new Map<DaemonSlot, { readonly fresh: DaemonSlot; readonly done: Promise<void> }>()
  /** Reloads under way: no daemon is replaced for its own sake meanwhile. */
  #reloads = 0
  #stopTicking: () => void
  #closed = false

  constructor(settings: ProcessGroupSettings) {
    this.name = settings.name
    this.#settings = settings
    this.#slots = Array.from({ length: settings.limits.processes }, () => new DaemonSlot(settings))
    this.#stopTicking = settings.groups.clock.every(TICK, () => this.#look())
  }

  /** Starts its daemons where they are to be there ahead. */
  start(): void {
    if (!this.#settings.startAhead) return
    for (const slot of this.#slots) slot.start().catch((error: unknown) => this.#warn('could not be started ahead', error))
  }

  /** As that of Groups, in the daemon that has the least to do. */
  acquire(target: GroupTarget, who?: Waiting): Lease | Promise<Lease> {
    const slot = this.#choose()
    slot.usedAt = this.#settings.groups.clock.now()
    const lease = slot.groups.acquire(target.label === '' ? mainTarget(target) : target, who)
    // Not before: a daemon that this starts counts from here.
    slot.requests++
    if (this.#slots.length === 1) return lease
    slot.load++
    if (!(lease instanceof Promise)) return new CountedLease(lease, slot)
    return lease.then(
      (late) => new CountedLease(late, slot),
      (error: unknown) => {
        slot.load--
        throw error
      },
    )
  }

  /** As that of Groups, in the daemon that the request would get now. */
  warm(target: GroupTarget): boolean {
    const slot = this.#choose()
    if (slot.isDown || !slot.groups.warm(target.label === '' ? mainTarget(target) : target)) return false
    // Of several that have as little to do, the request then gets this one.
    slot.usedAt = this.#settings.groups.clock.now()
    return true
  }

  #choose(): DaemonSlot {
    return this.#slots.length === 1 ? (this.#slots[0] as DaemonSlot) : this.#leastBusy()
  }

  /** Least in flight first; on ties the one used last, so that the others become idle and can go. */
  #leastBusy(): DaemonSlot {
    return this.#slots.reduce((best, slot) => {
      // One whose daemon keeps dying has the least to do.
      if (slot.isDown !== best.isDown) return best.isDown ? slot : best
      return slot.busy < best.busy || (slot.busy === best.busy && slot.usedAt > best.usedAt) ? slot : best
    })
  }

  /** Every Groups of it: those that take requests, that are to, and that leave. */
  get groups(): readonly Groups[] {
    return this.#all().map(({ groups }) => groups)
  }

  /** Bytes that its daemons hold, as they last told. */
  get resident(): number {
    return this.#all().reduce((sum, { daemon }) => sum + (daemon?.resident ?? 0), 0)
  }

  #all(): readonly DaemonSlot[] {
    return [...this.#slots, ...[...this.#replacing.values()].map(({ fresh }) => fresh), ...this.#leaving]
  }

  /** New contexts for the groups of that name or key; for `%{GLOBAL}`, which ends only with its process, a new daemon. */
  async reload(name: string, retarget?: (old: GroupTarget) => GroupTarget): Promise<boolean> {
    // What a daemon that is just coming up has read may be what there was before.
    while (this.#replacing.size > 0) await Promise.allSettled([...this.#replacing.values()].map(({ done }) => done))
    this.#reloads++
    try {
      const found = await Promise.all(this.#slots.map((slot) => this.#reloadIn(slot, name, retarget)))
      return found.includes(true)
    } finally {
      this.#reloads--
    }
  }

  async #reloadIn(slot: DaemonSlot, name: string, retarget: (old: GroupTarget) => GroupTarget = (old) => old): Promise<boolean> {
    const named = slot.groups.targets().filter((target) => target.key === name || target.label === name)
    if (!named.some(({ label }) => label === '')) return await slot.groups.reload(name, retarget)
    await this.#replace(slot, 'reload', async (fresh) => {
      // The old daemon goes on where the new code does not start.
      for (const target of named) await fresh.warm(mainTarget(retarget(target)))
      await warm(fresh, slot.groups.targets().filter((target) => !named.includes(target)))
    })
    return true
  }

  stats(): ProcessGroupStats {
    return {
      name: this.name,
      processes: [...this.#slots, ...this.#leaving].map((slot) => {
        const { daemon } = slot
        return {
          ...slot.groups.stats(),
          pid: daemon?.pid,
          state: this.#leaving.has(slot) ? 'leaving' : (daemon?.state ?? 'absent'),
          requests: slot.requests,
          resident: daemon?.resident ?? 0,
          cpu: daemon?.cpu ?? 0,
        }
      }),
    }
  }

  drain(): void {
    for (const groups of this.groups) groups.drain()
  }

  /** Drains, then ends its daemons. Always ends, never rejects. */
  async close(deadline: number): Promise<CloseCount> {
    this.#closed = true
    this.#stopTicking()
    const counts = await Promise.all(this.#all().map(async (slot) => {
      const count = await slot.groups.close(deadline)
      await slot.end('shutdown')
      // What could not be ended went with its process.
      return { ...count, zombies: 0 }
    }))
    return sum(counts)
  }

  async destroy(error: TenantryError): Promise<void> {
    this.#closed = true
    this.#stopTicking()
    await Promise.all(this.#all().map(async (slot) => {
      const gone = slot.kill('shutdown')
      await slot.groups.destroy(error)
      await gone
    }))
  }

  #look(): void {
    for (const slot of this.#all()) {
      const { daemon } = slot
      const hard = daemon && this.#excess(daemon, HARD_FACTOR)
      // Who waits for it has the next one started.
      if (hard !== undefined && daemon?.state === 'serving') daemon.kill(hard)
    }
    for (const slot of this.#slots) {
      const reason = this.#fault(slot)
      if (reason === 'inactivity') this.#retire(slot)
      else if (reason !== undefined) this.#renew(slot, reason)
    }
    for (const slot of this.#leaving) if (slot.groups.stats().queued === 0) this.#finish(slot)
  }

  /** What a daemon has too much of. */
  #excess({ resident, cpu }: Daemon, factor: number): EndReason | undefined {
    const { memoryLimit, cpuTimeLimit } = this.#settings.limits
    if (memoryLimit > 0 && resident > memoryLimit * factor) return 'memory'
    return cpuTimeLimit > 0 && cpu > cpuTimeLimit * factor ? 'cpu' : undefined
  }

  /** Why a daemon should go now. */
  #fault(slot: DaemonSlot): EndReason | undefined {
    const { daemon } = slot
    const { limits, groups: { clock, maxZombies } } = this.#settings
    const now = clock.now()
    const { zombies, inFlight, queued } = slot.groups.stats()
    // What is at work is in use, however long ago it was asked.
    if (inFlight > 0 || queued > 0) slot.usedAt = now
    if (daemon?.state !== 'serving' || this.#replacing.has(slot) || this.#reloads > 0 || now < slot.replaceAt) return undefined
    const age = now - slot.startedAt
    // Sooner the next one would have too much as well.
    const excess = age < PROVEN ? undefined : this.#excess(daemon, 1)
    if (excess !== undefined) return excess
    if (zombies > maxZombies) return 'deadlock'
    if (limits.maxRequests > 0 && slot.requests >= limits.maxRequests) return 'requests'
    if (limits.maxAge > 0 && age >= limits.maxAge) return 'age'
    return limits.idleTimeout > 0 && now - slot.usedAt >= limits.idleTimeout ? 'inactivity' : undefined
  }

  /** Nobody asks for it: the next request starts another daemon. */
  #retire(slot: DaemonSlot): void {
    this.#slots[this.#slots.indexOf(slot)] = new DaemonSlot(this.#settings)
    this.#leave(slot, 'inactivity')
  }

  #renew(slot: DaemonSlot, reason: EndReason): void {
    this.#replace(slot, reason, async (fresh) => await warm(fresh, slot.groups.targets())).catch((error: unknown) => {
      slot.replaceAt = this.#settings.groups.clock.now() + RETRY
      this.#warn('could not be replaced', error)
    })
  }

  /** The new daemon first; then what `prepare` has it start; then the switch; then the old one finishes and ends. */
  async #replace(slot: DaemonSlot, reason: EndReason, prepare: (fresh: DaemonSlot) => Promise<void>): Promise<void> {
    const fresh = new DaemonSlot(this.#settings)
    const done = this.#bringUp(fresh, prepare)
    this.#replacing.set(slot, { fresh, done })
    try {
      await done
      this.#slots[this.#slots.indexOf(slot)] = fresh
      this.#leave(slot, reason)
    } finally {
      this.#replacing.delete(slot)
    }
  }

  async #bringUp(fresh: DaemonSlot, prepare: (fresh: DaemonSlot) => Promise<void>): Promise<void> {
    try {
      await fresh.start()
      await prepare(fresh)
      if (this.#closed) throw new TenantryError('ERR_DRAINING', 'The server is closing')
    } catch (error) {
      const gone = fresh.kill('startup')
      await fresh.groups.destroy()
      await gone
      throw error
    }
  }

  readonly #reasons = new Map<DaemonSlot, EndReason>()

  /** Out of the table at once; closed when nobody waits for one of its starts any more. */
  #leave(slot: DaemonSlot, reason: EndReason): void {
    this.#leaving.add(slot)
    this.#reasons.set(slot, reason)
    if (slot.groups.stats().queued === 0) this.#finish(slot)
  }

  #finish(slot: DaemonSlot): void {
    const reason = this.#reasons.get(slot)
    // Once: the next look finds it leaving still.
    if (reason === undefined) return
    this.#reasons.delete(slot)
    slot.groups.close()
      .then(async () => await slot.end(reason))
      .finally(() => this.#leaving.delete(slot))
      .catch((error: unknown) => this.#warn('did not end as it should', error))
  }

  #warn(what: string, thrown: unknown): void {
    const { message } = asTenantryError(thrown, 'ERR_STATE', String(thrown))
    publish('tenantry:warning', { message: `A daemon of the process group '${this.name}' ${what}: ${message}` })
  }
}

/** As far as they can be started. */
async function warm(slot: DaemonSlot, targets: readonly GroupTarget[]): Promise<void> {
  await Promise.allSettled(targets.map(async (target) => await slot.warm(target)))
}

function sum(counts: readonly CloseCount[]): CloseCount {
  return {
    ended: counts.reduce((total, { ended }) => total + ended, 0),
    terminated: counts.reduce((total, { terminated }) => total + terminated, 0),
    zombies: counts.reduce((total, { zombies }) => total + zombies, 0),
  }
}
