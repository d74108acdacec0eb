import type { Clock } from '../clock.ts'
import type { Context, ContextEnd } from '../context/context.ts'
import { TenantryError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { publish } from '../events.ts'
import type { EndReason } from '../events.ts'
import { decide } from './admission.ts'
import type { Refusal } from './admission.ts'
import { Births } from './births.ts'
import { Eviction } from './eviction.ts'
import { Group } from './group.ts'
import type { GroupHost } from './group-host.ts'
import { countContexts, countGroups, unreadyReasons } from './group-stats.ts'
import type { CloseCount, GroupsStats } from './group-stats.ts'
import { HandedSum } from './handed-sum.ts'
import { Headcount } from './headcount.ts'
import type { GroupsOptions } from './groups-options.ts'
import type { GroupTarget, Lease } from './lease.ts'
import { Registry } from './registry.ts'
import { Reloads } from './reloads.ts'
import { Supervisor } from './supervisor.ts'
import type { Waiting } from './wait-queue.ts'

/** Reasons to replace a context that works: whoever comes next should find the new one. */
const WORN_OUT: ReadonlySet<EndReason> = new Set(['requests', 'age', 'memory', 'cpu'])

/** All application groups of a process, under the caps. */
export class Groups {
  readonly handed: HandedSum
  readonly #limits: GroupsOptions
  readonly #clock: Clock
  readonly #host: GroupHost<Group>
  readonly #drainTimeout: number
  readonly #registry: Registry<Group>
  readonly #count: Headcount
  readonly #births: Births
  readonly #eviction: Eviction
  /** Groups that left the table and drain, or replace another and start. */
  readonly #outside = new Set<Group>()
  readonly #reloads: Reloads
  readonly #evictions: Partial<Record<EndReason, number>> = {}
  readonly #refusals: Partial<Record<ErrorCode, number>> = {}
  readonly #supervisor: Supervisor
  /** Starts that began on evidence. */
  #warmed = 0

  constructor(options: GroupsOptions) {
    const { clock, createContext, queueTimeout, drainTimeout, random = Math.random } = options
    this.#limits = options
    this.#clock = clock
    this.#drainTimeout = drainTimeout
    this.#registry = new Registry(options.maxGroups)
    this.handed = new HandedSum(() => this.#all(), this.#registry, options)
    this.#supervisor = new Supervisor(clock, () => this.#all(), this.handed, () => {
      const buried = this.#count.bury()
      if (this.#count.passSlowStarts(clock.now()) || buried) this.#births.pump()
      for (const group of this.#registry.values()) this.#births.widen(group)
      this.#eviction.watchMemory(clock.now())
      this.#births.spares.refill()
    })
    this.#count = new Headcount(options.maxStarts, clock.now(), () => this.#registry.size, () => this.#births.pending)
    this.#births = new Births(options, this.#count)
    this.#eviction = new Eviction(options, this.#registry, this.#count, this.#births)
    this.#host = {
      clock, random, queueTimeout, drainTimeout,
      createContext: (spec) => {
        const paced = { ...spec, pace: options.pace }
        return this.#births.spares.take(paced) ?? createContext(paced)
      },
      onBorn: (context) => {
        this.#count.born(context, clock.now())
        // It admits the requests on connections that it was handed, by the group's rules.
        context.onMisdirected = options.onMisdirected
        context.onRefusal = (code) => {
          if (code === 'ERR_QUEUE_FULL' || code === 'ERR_QUEUE_TIMEOUT') this.#countRefusal(code)
        }
      },
      onReady: (context) => {
        this.#count.ready(context)
        this.#births.pump()
        this.#births.spares.refill()
      },
      onEnding: (context) => this.#count.end(context),
      onEnded: (context, end) => this.#onEnded(context, end),
      onRetire: (group, reason, inUse) => this.#onRetire(group, reason, inUse),
      onClosed: (group) => this.#onClosed(group),
      onParted: (group) => this.#outside.add(group),
      onShort: (group) => this.#births.widen(group),
      onBereft: (group) => this.#onBereft(group),
      onHandedOver: (member) => this.handed.note(member),
      onQueueTimeout: () => this.#countRefusal('ERR_QUEUE_TIMEOUT'),
      onAbandoned: (group) => this.#births.abandon(group),
    }
    this.#reloads = new Reloads({
      limits: options, count: this.#count, registry: this.#registry, eviction: this.#eviction,
      refuse: (refusal, target) => this.#refuse(refusal, target),
      startBeside: (target, onOutcome) => {
        const group: Group = new Group(target, this.#host, (error) => onOutcome(group, error))
        this.#outside.add(group)
        this.#enqueue(group)
      },
      onSwitched: (group) => this.#outside.delete(group),
    })
  }

  /**
   * A slot in the group of `target`: at once when the group is live, else when it has
   * started or a slot is free. `who` hears when the request has to wait, with the
   * function that takes it out again; a lease granted before that must be released.
   * @throws TenantryError when admission refuses; while it waits, the promise rejects instead
   */
  acquire(target: GroupTarget, who?: Waiting): Lease | Promise<Lease> {
    return this.#acquire(target, who, this.#limits.look)
  }

  #acquire(target: GroupTarget, who: Waiting | undefined, look: GroupsOptions['look']): Lease | Promise<Lease> {
    const now = this.#clock.now()
    const group = this.#current(target, now)
    const { exact } = target
    const patternGroups = group === undefined && !exact ? this.#registry.inPattern(target.pattern) : 0
    const decision = decide({ census: this.#count, group, exact, patternGroups }, this.#limits, now)
    switch (decision.do) {
      case 'use':
        return (group as Group).lease(who)
      case 'wait':
        return (group as Group).wait(who)
      case 'refuse':
        throw this.#refuse(decision, target)
      case 'evict':
        // What contexts did on connections of their own counts before one of them goes.
        this.handed.look(now)
        if (!this.#eviction.makeRoom(decision.victim, target)) {
          // Who seems to be at work there may have answered: asked once, before a client hears that there is no room.
          const told = this.handed.inFlight > 0 ? look?.() : undefined
          if (told === undefined) throw this.#refuse(decision.otherwise, target)
          return told.then(() => this.#acquire(target, who, undefined))
        }
        return this.#begin(target, group, now, who)
      case 'create':
        return this.#begin(target, group, now, who)
    }
  }

  /**
   * Starts the group of `target` on the evidence that a request for it is coming: the caps hold as for that request,
   * but nothing is evicted for it, and one that is there already, failed or not, is left alone. Unused, it ends as any
   * idle group does. Returns whether a start began; never throws.
   */
  warm(target: GroupTarget): boolean {
    if (this.#registry.peek(target.key) !== undefined || !this.#startAhead(target)) return false
    this.#warmed++
    return true
  }

  /**
   * Ends the groups of that name or key: what is in flight finishes first, within drainTimeout.
   * Resolves when they are gone, with whether there were any.
   */
  async evict(name: string, reason: EndReason = 'admin'): Promise<boolean> {
    const groups = this.#named(name)
    const contexts = groups.flatMap(({ members }) => members.map(({ context }) => context))
    for (const group of groups) group.retire(reason)
    await Promise.all(contexts.map(({ ended }) => ended))
    return groups.length > 0
  }

  /** Takes the groups of that name or key out of the table, without waiting for their end. */
  retire(name: string, reason: EndReason = 'admin'): boolean {
    const groups = this.#named(name)
    for (const group of groups) group.retire(reason)
    return groups.length > 0
  }

  /**
   * Starts a new context for each group of that name or key, switches to it, drains the old one.
   * Resolves with whether there was a group.
   * @param retarget the target that the new context serves; default the old one's
   * @throws TenantryError why the new context could not start; the old one goes on
   */
  async reload(name: string, retarget: (old: GroupTarget) => GroupTarget = (old) => old): Promise<boolean> {
    const groups = this.#named(name)
    await Promise.all(groups.map(({ target }) => this.#reloads.run(target.key, retarget(target))))
    return groups.length > 0
  }

  /** Keeps spare contexts from now on, and not only after its first start. */
  start(): void {
    this.#births.spares.refill()
  }

  /** Births that waited for `mayStart` may happen now. */
  resume(): void {
    this.#births.pump()
  }

  /** No request is admitted any more; every group finishes what it has and ends. */
  drain(): void {
    this.#count.draining = true
    this.#births.spares.stop()
    for (const group of this.#all()) group.retire('shutdown')
  }

  /** Drains; ends at `deadline` milliseconds what is not finished. Always ends, never rejects. */
  async close(deadline: number = this.#drainTimeout): Promise<CloseCount> {
    const contexts = [...this.#count.alive]
    this.drain()
    const stop = this.#clock.after(deadline, () => {
      this.#terminateAll(new TenantryError('ERR_CONTEXT_EXITED', `The server closed; drained for ${deadline} ms`))
    })
    const ends = await Promise.all(contexts.map((context) => context.ended))
    await this.#births.spares.ended()
    stop()
    this.#supervisor.stop()
    return { ended: ends.length, terminated: ends.filter(({ terminated }) => terminated).length, zombies: this.#count.zombies }
  }

  /** Ends everything now; what is in flight fails with `error`. */
  async destroy(error = new TenantryError('ERR_CONTEXT_EXITED', 'The server was destroyed')): Promise<void> {
    this.#count.draining = true
    this.#terminateAll(error)
    await this.close()
  }

  /** What the groups in the table serve now. */
  targets(): readonly GroupTarget[] {
    return [...this.#registry.values()].map(({ target }) => target)
  }

  stats(): GroupsStats {
    const reasons = unreadyReasons(this.#count, this.#limits.maxZombies)
    return {
      ready: reasons.length === 0,
      reasons,
      ...countGroups(this.#all(), this.#registry),
      contexts: countContexts(this.#count),
      draining: this.#count.draining,
      zombies: this.#count.zombies,
      zombieContexts: this.#count.zombieContexts,
      pending: this.#births.pending,
      births: this.#count.births,
      warmed: this.#warmed,
      spares: this.#births.spares.waiting,
      fromSpares: this.#births.spares.taken,
      ends: { ...this.#count.ends },
      evictions: { ...this.#evictions },
      refusals: { ...this.#refusals },
    }
  }

  /** The group of the target; one that failed with other code than the target's is forgotten. */
  #current(target: GroupTarget, now: number): Group | undefined {
    const group = this.#registry.use(target.key, now)
    if (group?.state !== 'failed' || group.target.tenant.revision === target.tenant.revision) return group
    group.retire('reload')
    return undefined
  }

  #begin(
    target: GroupTarget, failed: Group | undefined, now: number, who: Waiting | undefined,
  ): Promise<Lease> {
    const group = failed ?? new Group(target, this.#host)
    if (failed === undefined) this.#registry.add(group, now)
    else failed.restart()
    const lease = group.wait(who)
    this.#enqueue(group)
    return lease
  }

  /** A birth that admission granted. */
  #enqueue(group: Group): void {
    if (!this.#count.draining) this.#supervisor.start()
    this.#births.add(group)
  }

  #refuse(refusal: Refusal, target: GroupTarget): TenantryError {
    const { code, message, retryAfter } = refusal
    const { label } = target
    this.#countRefusal(code)
    return new TenantryError(code, message, { label, retryAfter })
  }

  #countRefusal(code: ErrorCode): void {
    this.#refusals[code] = (this.#refusals[code] ?? 0) + 1
  }

  #onBereft(group: Group): void {
    const now = this.#clock.now()
    const { exact, pattern } = group.target
    const decision = decide({ census: this.#count, group, exact, patternGroups: 0 }, this.#limits, now)
    if (decision.do === 'create' || (decision.do === 'evict' && this.#eviction.makeRoom(decision.victim, group.target))) {
      group.restart()
      this.#enqueue(group)
      return
    }
    const refusal = decision.do === 'evict' ? decision.otherwise : decision
    if (refusal.do !== 'refuse') {
      throw new TenantryError('ERR_STATE', `A failed group of ${pattern} cannot ${refusal.do}`)
    }
    group.giveUp(this.#refuse(refusal, group.target))
  }

  #onEnded(context: Context, end: ContextEnd): void {
    this.#count.ended(context, end)
    this.#births.pump()
  }

  #onRetire(group: Group, reason: EndReason, inUse: boolean): void {
    this.#births.remove(group)
    const wasInTable = this.#registry.remove(group)
    if (wasInTable) this.#outside.add(group)
    if (!group.holdsContext) return
    this.#evictions[reason] = (this.#evictions[reason] ?? 0) + 1
    const { label, processGroup } = group.target
    publish('tenantry:evict', { label, processGroup, reason })
    if (wasInTable && inUse && WORN_OUT.has(reason)) this.#succeed(group.target)
  }

  /** Another context starts at once in the place of one that was in use, where that costs nobody else his. */
  #succeed(target: GroupTarget): void {
    // A reload brings its own.
    if (!this.#reloads.has(target.key)) this.#startAhead(target)
  }

  /** Starts a group that is not in the table though nobody waits for it; says whether it does. */
  #startAhead(target: GroupTarget): boolean {
    const now = this.#clock.now()
    const { exact, pattern } = target
    const patternGroups = exact ? 0 : this.#registry.inPattern(pattern)
    const { do: decided } = decide({ census: this.#count, group: undefined, exact, patternGroups }, this.#limits, now)
    if (decided !== 'create') return false
    // Who hears how it went is what keeps a start that nobody waits for.
    const group = new Group(target, this.#host, () => {})
    this.#registry.add(group, now)
    this.#enqueue(group)
    return true
  }

  #onClosed(group: Group): void {
    this.#births.remove(group)
    this.#registry.remove(group)
    this.#outside.delete(group)
  }

  #named(name: string): Group[] {
    return [...this.#registry.values()].filter(({ target }) => target.key === name || target.label === name)
  }

  #all(): Group[] {
    return [...this.#registry.values(), ...this.#outside]
  }

  #terminateAll(error: TenantryError): void {
    for (const group of this.#all()) {
      group.terminate('shutdown', error)
      group.retire('shutdown')
    }
  }
}
