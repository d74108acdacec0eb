import { asTenantryError, TenantryError } from '../errors.ts'
import { publish } from '../events.ts'
import { DaemonSlot } from './daemon-slot.ts'
import { CountedLease } from './counted-lease.ts'
import { mainTarget } from './main-target.ts'
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
  readonly #replacing = new Set<DaemonSlot>()
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
    const slot = this.#slots.length === 1 ? (this.#slots[0] as DaemonSlot) : this.#leastBusy()
    slot.requests++
    slot.usedAt = this.#settings.groups.clock.now()
    const inside = target.label === '' ? mainTarget(target) : target
    if (this.#slots.length === 1) return slot.groups.acquire(inside, who)
    const lease = slot.groups.acquire(inside, who)
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

  /** Least in flight first; on ties the one used last, so that the others become idle and can go. */
  #leastBusy(): DaemonSlot {
    return this.#slots.reduce((best, slot) => {
      return slot.load < best.load || (slot.load === best.load && slot.usedAt > best.usedAt) ? slot : best
    })
  }

  /** Every Groups of it, those that leave last. */
  get groups(): readonly Groups[] {
    return [...this.#slots, ...this.#leaving].map(({ groups }) => groups)
  }

  /** Bytes that its daemons hold, as they last told. */
  get resident(): number {
    return [...this.#slots, ...this.#leaving].reduce((sum, { daemon }) => sum + (daemon?.resident ?? 0), 0)
  }

  /** New contexts for the groups of that name or key; for `%{GLOBAL}`, which ends only with its process, a new daemon. */
  async reload(name: string, retarget?: (old: GroupTarget) => GroupTarget): Promise<boolean> {
    const found = await Promise.all(this.#slots.map((slot) => this.#reloadIn(slot, name, retarget)))
    return found.includes(true)
  }

  async #reloadIn(slot: DaemonSlot, name: string, retarget?: (old: GroupTarget) => GroupTarget): Promise<boolean> {
    const named = slot.groups.targets().filter((target) => target.key === name || target.label === name)
    if (named.some(({ label }) => label === '')) {
      await this.#replace(slot, 'reload', (target) => (named.includes(target) && retarget ? mainTarget(retarget(target)) : target))
      return true
    }
    return await slot.groups.reload(name, retarget)
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
    const counts = await Promise.all([...this.#slots, ...this.#leaving].map(async (slot) => {
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
    await Promise.all([...this.#slots, ...this.#leaving].map(async (slot) => {
      slot.daemon?.kill('shutdown')
      await slot.groups.destroy(error)
    }))
  }

  #look(): void {
    for (const slot of this.#slots) {
      const reason = this.#fault(slot)
      if (reason === 'inactivity') this.#retire(slot)
      else if (reason !== undefined) this.#replace(slot, reason).catch((error: unknown) => this.#warn('could not be replaced', error))
    }
    for (const slot of this.#leaving) if (slot.groups.stats().queued === 0) this.#finish(slot)
  }

  /** Why a daemon should go now. */
  #fault(slot: DaemonSlot): EndReason | undefined {
    const { daemon } = slot
    if (daemon === undefined || this.#replacing.has(slot)) return undefined
    const { limits, groups: { clock, maxZombies } } = this.#settings
    const now = clock.now()
    const { zombies, inFlight, queued } = slot.groups.stats()
    if (limits.memoryLimit > 0 && daemon.resident > limits.memoryLimit) {
      if (daemon.resident > limits.memoryLimit * HARD_FACTOR) daemon.kill('memory')
      return 'memory'
    }
    if (limits.cpuTimeLimit > 0 && daemon.cpu > limits.cpuTimeLimit) {
      if (daemon.cpu > limits.cpuTimeLimit * HARD_FACTOR) daemon.kill('cpu')
      return 'cpu'
    }
    if (zombies > maxZombies) return 'deadlock'
    if (limits.maxRequests > 0 && slot.requests >= limits.maxRequests) return 'requests'
    if (limits.maxAge > 0 && now - slot.startedAt >= limits.maxAge) return 'age'
    const idle = inFlight === 0 && queued === 0 && now - slot.usedAt >= limits.idleTimeout
    return limits.idleTimeout > 0 && idle ? 'inactivity' : undefined
  }

  /** Nobody asks for it: the next request starts another daemon. */
  #retire(slot: DaemonSlot): void {
    this.#slots[this.#slots.indexOf(slot)] = new DaemonSlot(this.#settings)
    this.#leave(slot, 'inactivity')
  }

  /** The new daemon first, with the groups that are in use; then the switch; then the old one finishes and ends. */
  async #replace(slot: DaemonSlot, reason: EndReason, retarget = (target: GroupTarget): GroupTarget => target): Promise<void> {
    if (this.#replacing.has(slot)) return
    this.#replacing.add(slot)
    const fresh = new DaemonSlot(this.#settings)
    try {
      await fresh.start()
      await fresh.warm(slot.groups.targets().map(retarget))
      if (this.#closed) throw new TenantryError('ERR_DRAINING', 'The server is closing')
      this.#slots[this.#slots.indexOf(slot)] = fresh
      this.#leave(slot, reason)
    } catch (error) {
      await fresh.groups.destroy()
      await fresh.end('startup')
      throw error
    } finally {
      this.#replacing.delete(slot)
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

function sum(counts: readonly CloseCount[]): CloseCount {
  return {
    ended: counts.reduce((total, { ended }) => total + ended, 0),
    terminated: counts.reduce((total, { terminated }) => total + terminated, 0),
    zombies: counts.reduce((total, { zombies }) => total + zombies, 0),
  }
}
