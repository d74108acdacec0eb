import type { Context, ContextEnd } from '../context/context.ts'
import { asTenantryError, TenantryError, type ErrorCode } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { GroupView } from './admission.ts'
import { Failures } from './backoff.ts'
import { specOf } from './context-spec.ts'
import type { GroupHost } from './group-host.ts'
import { GroupLease } from './group-lease.ts'
import { GroupStateMachine, type GroupState } from './group-state.ts'
import type { GroupTarget, Lease } from './lease.ts'
import { Member, type MemberOwner } from './member.ts'
import { Members } from './members.ts'
import type { Registered } from './registry.ts'
import { WaitQueue, type Waiting } from './wait-queue.ts'

/** A group that was asked for within so long is in use, though nothing is in flight; milliseconds. */
const IN_USE = 60_000

/**
 * One application group: up to `threads` contexts that take requests, and those who wait. It serves from the first
 * context on; the others start one after another, where there is room.
 */
export class Group implements Registered, GroupView, MemberOwner {
  readonly target: GroupTarget
  readonly #host: GroupHost<Group>
  readonly #state: GroupStateMachine
  readonly #queue: WaitQueue
  /** Hears once how the start went: that of all contexts for which there is room. A reload waits for it. */
  #onOutcome: ((error?: TenantryError) => void) | undefined
  /** Those that take requests or are about to; and, while it drains, those that are not gone yet. */
  readonly #members = new Members()
  /** The member that started last, also after its end. */
  #latest: Member | undefined
  readonly #failures = new Failures()
  #usedAt: number

  /** `leaving`: a context that parts from its group and drains in one of its own. */
  constructor(
    target: GroupTarget, host: GroupHost<Group>, onOutcome?: (error?: TenantryError) => void, leaving?: Member,
  ) {
    this.target = target
    this.#host = host
    this.#onOutcome = onOutcome
    this.#queue = new WaitQueue(host.clock)
    this.#usedAt = host.clock.now()
    this.#state = new GroupStateMachine(target, leaving === undefined ? 'starting' : 'serving')
    if (leaving === undefined) return
    leaving.owner = this
    this.#members.add(leaving)
  }

  get state(): GroupState {
    return this.#state.current
  }

  get inFlight(): number {
    return this.#members.inFlight
  }

  get queued(): number {
    return this.#queue.size
  }

  get retryAt(): number {
    return this.#failures.until
  }

  get failures(): number {
    return this.#failures.count
  }

  get maxInFlight(): number {
    return this.target.tenant.groupLimits.maxInFlight
  }

  get maxQueue(): number {
    return this.target.tenant.groupLimits.maxQueue
  }

  get members(): readonly Member[] {
    return this.#members.all
  }

  get holdsContext(): boolean {
    return this.#members.size > 0
  }

  get idle(): boolean {
    return this.#queue.size === 0 && this.#state.is('serving', 'failed') && !this.#members.areBusy
  }

  /** Whether a start would serve anybody. */
  get wanted(): boolean {
    return this.#queue.size > 0 || this.#onOutcome !== undefined
  }

  /** Whether it serves with fewer contexts than it is to have, and one may start now as far as the group knows. */
  get short(): boolean {
    return this.#state.is('serving') && this.#members.size < this.target.tenant.threads && this.#members.areReady
      && this.#host.clock.now() >= this.retryAt
  }

  get growing(): boolean {
    return this.#state.is('serving') && !this.#members.areReady
  }

  /** Of several contexts that serve, the one with the least to do. */
  get spare(): Member | undefined {
    return this.#state.is('serving') ? this.#members.spare : undefined
  }

  /** Whether the next request is soon to come. A context that nobody asked anything of is not in use, however young it is. */
  get inUse(): boolean {
    return this.#members.wereAsked && !(this.idle && this.unusedFor(this.#host.clock.now()) > IN_USE)
  }

  /** Milliseconds since it was last used. */
  unusedFor(now: number): number {
    return now - this.#usedAt
  }

  /** Its contexts were at work on connections of their own. */
  noteUse(now: number, hasServed: boolean): void {
    this.#usedAt = now
    // As with a lease: only the one that started last proves that starts are good again.
    if (hasServed && this.#latest?.hasServed === true) this.#failures.forget()
  }

  /** Takes a slot. Only for who was admitted. */
  lease(who?: Waiting): Lease {
    const lease = this.#state.is('serving', 'draining') ? this.#take(who) : undefined
    if (lease === undefined) throw this.#error('ERR_STATE', `A ${this.state} group gives no lease`)
    return lease
  }

  #take(who?: Waiting): Lease | undefined {
    const member = this.#members.take(who)
    if (member === undefined) return undefined
    const { label, tenant: { groupLimits, contextLimits } } = this.target
    const lease = new GroupLease(member, label, groupLimits)
    if (member.granted === contextLimits.maxRequests) this.part(member, 'requests')
    return lease
  }

  /** Waits for a slot or for the start. */
  wait(who: Waiting | undefined): Promise<Lease> {
    const { queueTimeout } = this.#host
    const timeoutError = (): TenantryError => {
      this.#host.onQueueTimeout()
      return this.#error('ERR_QUEUE_TIMEOUT', `No slot within queueTimeout (${queueTimeout} ms)`)
    }
    return this.#queue.add(queueTimeout, timeoutError, () => this.#onLeave(), who)
  }

  onRelease(member: Member, served: boolean): void {
    if (served && member === this.#latest) this.#failures.forget()
    // A slot of a context that ended went with it.
    if (!this.#members.has(member)) return
    this.#members.free()
    // While others are in flight it is in use, whatever the time is.
    if (this.inFlight === 0) this.#usedAt = this.#host.clock.now()
    this.#serveQueue()
  }

  /** A failed group is to start again: launch() follows when there is a place. */
  restart(): void {
    this.#state.move('starting', undefined)
  }

  /** Nobody waits for the start any more: it does not happen. A back-off stays remembered. */
  abandon(): void {
    if (!this.#state.is('starting') || this.holdsContext || this.wanted) return
    if (this.failures > 0) this.#state.move('failed', undefined)
    else this.#close(undefined)
  }

  /** Starts a context. */
  launch(): void {
    let context: Context
    try {
      context = this.#host.createContext(specOf(this.target))
    } catch (error) {
      this.#fail([], asTenantryError(error, 'ERR_START_FAILED', 'The context could not be made'), 'startup')
      return
    }
    this.#host.onBorn(context)
    this.#latest = new Member(context, this, this.#host)
    this.#members.add(this.#latest)
  }

  /** Leaves the table; finishes what is in flight and what waits already; then ends its contexts. */
  retire(reason: EndReason): void {
    if (this.#state.is('draining', 'closed')) return
    if (!this.holdsContext) {
      this.#host.onRetire(this, reason, false)
      this.#close(reason)
      return
    }
    const { inUse } = this
    const wasServing = this.#state.is('serving')
    this.#state.move('draining', reason)
    this.#host.onRetire(this, reason, inUse)
    for (const member of this.members) {
      if (member.isReady) this.#drain(member, reason)
      else member.end(reason)
    }
    if (wasServing) this.#settle()
    else this.giveUp(this.#replaced(reason))
  }

  /**
   * A context goes, and another one comes in its place. Of several the others go on meanwhile, and it stays until one of
   * them serves; the only one takes the group along, as do all where nobody asks for them.
   */
  part(member: Member, reason: EndReason): void {
    if (!this.#state.is('serving') || !this.#members.has(member)) return
    const others = this.members.filter((other) => other !== member)
    if (others.length === 0 || !this.inUse) {
      this.retire(reason)
      return
    }
    if (!others.some(({ takes }) => takes)) return
    this.#partWith(member, reason)
    this.#serveQueue()
    this.#seek()
  }

  /** Its spare context goes, and none comes in its place for now; false when it has none. */
  shed(reason: EndReason): boolean {
    const { spare } = this
    if (spare !== undefined) this.#partWith(spare, reason)
    return spare !== undefined
  }

  #partWith(member: Member, reason: EndReason): void {
    this.#members.remove([member])
    const parted = new Group(this.target, this.#host, undefined, member)
    this.#host.onParted(parted)
    parted.retire(reason)
  }

  #drain(member: Member, reason: EndReason): void {
    member.drain(reason, () => {
      const message = `The context was ended after drainTimeout (${this.#host.drainTimeout} ms): ${reason}`
      this.terminate(reason, this.#error('ERR_CONTEXT_EXITED', message), [member])
    })
  }

  /** Ends contexts now, by default all of them; what is in flight in them fails with `error`. */
  terminate(reason: EndReason, error: TenantryError, members: readonly Member[] = this.members): void {
    if (members.length === 0) {
      this.retire(reason)
      return
    }
    // Their slots go first: when their requests fail, those who wait must not get them.
    const told = members.filter((member) => member.condemn())
    this.#lose(members, error, reason)
    for (const { context } of told) void context.terminate(reason, error)
  }

  onReady(member: Member): void {
    if (!this.#members.has(member) || !this.#state.is('starting', 'serving')) return
    const { clock, random } = this.#host
    this.#host.onReady(member.context)
    member.begin(random())
    if (this.#state.is('starting')) {
      this.#usedAt = clock.now()
      this.#state.move('serving', undefined)
      this.#serveQueue()
    }
    this.#seek()
  }

  onStartFailed(member: Member, error: TenantryError): void {
    if (!this.#members.has(member) || !this.#state.is('starting', 'serving')) return
    member.end('startup', error)
    this.#lose([member], error, 'startup')
  }

  onCondemned(member: Member, reason: EndReason, error: TenantryError): void {
    if (this.#members.has(member)) this.terminate(reason, error, [member])
  }

  onEnded(member: Member, end: ContextEnd): void {
    this.#host.onEnded(member.context, end)
    if (!this.#members.has(member)) return
    const error = end.error ?? this.#error('ERR_CONTEXT_EXITED', 'The context exited')
    this.#lose([member], error, end.reason)
  }

  /** These contexts are gone or going. */
  #lose(members: readonly Member[], error: TenantryError, reason: EndReason): void {
    // An application that ends itself while nobody asks anything of it has done no wrong.
    const leftQuietly = reason === 'exit' && this.#state.is('serving') && this.idle
    this.#members.remove(members)
    if (!this.#state.is('draining') && !(leftQuietly && !this.holdsContext)) this.#fail(members, error, reason)
    else if (!this.holdsContext) this.#close(reason, error)
    else if (this.#members.next() === undefined) this.giveUp(error)
    else this.#serveQueue()
  }

  /** Others go on; or whoever waits is served by another context, or hears why not. */
  #fail(members: readonly Member[], error: TenantryError, reason: EndReason): void {
    const wasServing = this.#state.is('serving')
    const hasServed = members.some((member) => member.hasServed)
    // A daemon that died took us with it: nothing says that this application did wrong, but for one that is the
    // daemon's own main thread and never came up.
    const isInnocent = error.code === 'ERR_DAEMON_EXITED' && (wasServing || this.target.label !== '')
    if (!hasServed && !isInnocent) this.#failures.add(this.#host.clock.now(), this.#host.random())
    if (this.holdsContext) {
      if (this.#members.next() !== undefined) this.#serveQueue()
      else if (wasServing) this.#state.move('starting', reason)
      this.#seek()
      return
    }
    // A further one that could not start holds nobody up.
    if (hasServed) this.#failures.forget()
    this.#state.move('failed', reason)
    if (this.#queue.size > 0 && (isInnocent || hasServed)) this.#host.onBereft(this)
    else this.giveUp(error)
  }

  #close(reason: EndReason | undefined, error?: TenantryError): void {
    this.#state.move('closed', reason)
    this.#host.onClosed(this)
    this.giveUp(error ?? this.#replaced(reason))
  }

  /** Nobody who waits will be served by this group. */
  giveUp(error: TenantryError): void {
    this.#tell(error)
    this.#queue.rejectAll(error)
  }

  #replaced(reason: EndReason | undefined): TenantryError {
    const why = reason === undefined ? '' : ` (${reason})`
    return this.#error('ERR_DRAINING', `The application is going away${why}; try again`)
  }

  #error(code: ErrorCode, message: string): TenantryError {
    return new TenantryError(code, message, { label: this.target.label })
  }

  /** How the start went, said once. */
  #tell(error?: TenantryError): void {
    const onOutcome = this.#onOutcome
    this.#onOutcome = undefined
    onOutcome?.(error)
  }

  #serveQueue(): void {
    while (this.#queue.size > 0 && (this.maxInFlight === 0 || this.inFlight < this.maxInFlight)) {
      const lease = this.#take()
      if (lease === undefined) break
      this.#queue.grant(lease)
    }
    if (this.#state.is('draining')) this.#settle()
  }

  /** The contexts of a draining group that have finished their work may go. */
  #settle(): void {
    if (this.#queue.size > 0) return
    for (const member of this.members) if (member.isReady && !member.busy) member.letGo(this.#state.reason)
  }

  #onLeave(): void {
    if (this.#queue.size > 0) return
    if (this.#state.is('draining')) this.#settle()
    this.#host.onAbandoned(this)
  }

  /** Another context starts, if there is to be one and there is room; else it is as complete as it can be for now. */
  #seek(): void {
    if (this.short) this.#host.onShort(this)
    if (this.#state.is('serving') && this.#members.areReady) this.#tell()
  }
}
