import type { Clock } from '../clock.ts'
import type { Context, ContextEnd } from '../context/context.ts'
import type { Verdict } from '../context/health.ts'
import { asTenantryError } from '../errors.ts'
import type { TenantryError } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { LeaseKeeper } from './group-lease.ts'
import { Handed } from './handed.ts'
import type { ResolvedTenant } from './tenant.ts'
import { Vitals } from './vitals.ts'

/**
 * A draining context ends itself when it has no request: those that were admitted a
 * moment ago must reach it before the word that none will follow. Milliseconds.
 */
const NOTICE_DELAY = 100

/** The group that a context belongs to, as the context's member sees it. */
export interface MemberOwner {
  /** Requests that wait for a slot. */
  readonly queued: number
  /** It serves, and further contexts start. */
  readonly growing: boolean
  onReady(member: Member): void
  onStartFailed(member: Member, error: TenantryError): void
  onCondemned(member: Member, reason: EndReason, error: TenantryError): void
  onEnded(member: Member, end: ContextEnd): void
  onRelease(member: Member, served: boolean): void
}

/** What a member needs of the house. */
export interface MemberHost {
  readonly clock: Clock
  readonly drainTimeout: number
  /** It was told to end. */
  onEnding(context: Context): void
  /** A client's connection moved into it. */
  onHandedOver(member: Member): void
}

/** One context of a group, from its start to its end: its slots, how it is doing, its drain. */
export class Member implements LeaseKeeper {
  readonly context: Context
  /** What it does on connections of its own. */
  readonly handed: Handed
  /** Hears what becomes of it. */
  owner: MemberOwner
  readonly #host: MemberHost
  readonly #vitals = new Vitals()
  #inFlight = 0
  #granted = 0
  #hasServed = false
  #isReady = false
  /** When it got its latest slot, as a count of the group's. */
  #turn = 0
  /** Told to end: nobody is told twice. */
  #isTold = false
  /** Told that nothing will follow. */
  #isLetGo = false
  #stopTimers: () => void = () => {}

  constructor(context: Context, owner: MemberOwner, host: MemberHost) {
    this.context = context
    this.handed = new Handed(context.scoreboard)
    this.owner = owner
    this.#host = host
    context.onCondemned = (reason, error) => {
      // While it starts, `ready` says so.
      if (this.#isReady && !this.#isTold) this.owner.onCondemned(this, reason, error)
    }
    context.ready.then(
      () => this.owner.onReady(this),
      (error: unknown) => this.owner.onStartFailed(this, asTenantryError(error, 'ERR_START_FAILED', 'The start failed')),
    )
    // `ended` never rejects.
    void context.ended.then((end) => {
      this.#stopTimers()
      this.owner.onEnded(this, end)
    })
  }

  /** Leases that are out. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Leases that it got so far. */
  get granted(): number {
    return this.#granted
  }

  /** Whether it answered a request. */
  get hasServed(): boolean {
    return this.#hasServed || this.handed.served > 0
  }

  /** It works on something. */
  get busy(): boolean {
    return this.#load > 0
  }

  /** It began to take requests. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** It can take a request. One that died may not have been heard of yet. */
  get takes(): boolean {
    const { state } = this.context
    return this.#isReady && (state === 'serving' || state === 'draining')
  }

  get mayHaveConnections(): boolean {
    // One that spins takes none: the relay answers who comes then, while a connection could only break off.
    return !this.owner.growing && this.#vitals.turns
  }

  /** It takes requests from now on; `random` from 0 to 1 shortens its life a little. */
  begin(random: number): void {
    this.#isReady = true
    this.#vitals.begin(this.#host.clock.now(), random)
  }

  /** A slot is taken; `turn`: a number that grows with every slot of the group. */
  take(turn: number): void {
    this.#inFlight++
    this.#granted++
    this.#turn = turn
  }

  /**
   * Whether it should have the next request, rather than `other`: who works on less, is the client's `home`, has fewer
   * clients, waited longer. A client that moves costs both contexts a frame, and its application another socket.
   */
  comesBefore(other: Member, home: Context['channel'] | undefined): boolean {
    const isHome = home === undefined ? 0 : Number(other.context.channel === home) - Number(this.context.channel === home)
    return (this.#load - other.#load || isHome || this.#clients - other.#clients || this.#turn - other.#turn) < 0
  }

  /** Requests that it works on, those of handed connections among them. */
  get #load(): number {
    return this.#inFlight + this.handed.inFlight
  }

  /** Connections that were handed to it: each may bring a request at any time, and cannot move on. */
  get #clients(): number {
    return this.handed.open
  }

  onRelease(served: boolean): void {
    this.#inFlight--
    if (served) this.#hasServed = true
    this.owner.onRelease(this, served)
  }

  onHandedOver(): void {
    this.handed.give()
    this.#host.onHandedOver(this)
    this.onRelease(false)
  }

  /** The judgement on it now; `idle`, `elapsed`: as for Vitals. undefined while it starts. */
  examine(tenant: ResolvedTenant, idle: number, now: number, elapsed: number): Verdict | undefined {
    return this.#isReady ? this.#vitals.examine(this.context, tenant, idle, now, elapsed) : undefined
  }

  /** The application finishes and ends itself; `onDeadline` is called where it has not after drainTimeout. */
  drain(reason: EndReason, onDeadline: () => void): void {
    const { clock, drainTimeout } = this.#host
    const stopNotice = clock.after(NOTICE_DELAY, () => this.owner.queued === 0 && this.context.drain(reason))
    const stopDeadline = clock.after(drainTimeout, onDeadline)
    this.#stopTimers = () => {
      stopNotice()
      stopDeadline()
    }
  }

  /** It has nothing left to do and may go: said once. */
  letGo(reason: EndReason | undefined): void {
    if (this.#isLetGo) return
    this.#isLetGo = true
    this.#host.onEnding(this.context)
    this.context.drain(reason)
  }

  /** Marks it as told to end; false when it was before. */
  condemn(): boolean {
    this.#stopTimers()
    if (this.#isTold) return false
    this.#isTold = true
    this.#host.onEnding(this.context)
    return true
  }

  /** Ends its context, once. */
  end(reason: EndReason, error?: TenantryError): void {
    if (this.condemn()) void this.context.terminate(reason, error)
  }
}
