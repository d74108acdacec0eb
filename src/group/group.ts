import type { Context, ContextEnd } from '../context/context.ts'
import type { Verdict } from '../context/health.ts'
import { asTenantryError, TenantryError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { publish, watched } from '../events.ts'
import type { EndReason } from '../events.ts'
import { StateMachine } from '../state.ts'
import type { Transitions } from '../state.ts'
import type { GroupView } from './admission.ts'
import { backOff } from './backoff.ts'
import { specOf } from './context-spec.ts'
import type { GroupHost } from './group-host.ts'
import { GroupLease } from './group-lease.ts'
import type { LeaseKeeper } from './group-lease.ts'
import type { GroupTarget, Lease } from './lease.ts'
import type { Registered } from './registry.ts'
import { Vitals } from './vitals.ts'
import { WaitQueue } from './wait-queue.ts'
import type { Waiting } from './wait-queue.ts'

export type GroupState = 'starting' | 'serving' | 'failed' | 'draining' | 'closed'

const TRANSITIONS: Transitions<GroupState> = {
  starting: ['serving', 'failed', 'draining', 'closed'],
  serving: ['draining', 'failed', 'closed'],
  failed: ['starting', 'closed'],
  draining: ['closed'],
  closed: [],
}

/**
 * A draining context ends itself when it has no request: those that were admitted a
 * moment ago must reach it before the word that none will follow. Milliseconds.
 */
const NOTICE_DELAY = 100

/** A group that was asked for within so long is in use, though nothing is in flight; milliseconds. */
const IN_USE = 60_000

/** One application group: at most one context that takes requests, and those who wait for it. */
export class Group implements Registered, GroupView, LeaseKeeper {
  readonly target: GroupTarget
  readonly #host: GroupHost<Group>
  readonly #state: StateMachine<GroupState>
  readonly #queue: WaitQueue
  /** Hears once how the first start went: a reload waits for it. */
  #onOutcome: ((error?: TenantryError) => void) | undefined
  #context: Context | undefined
  /** The latest context, also after it ended. */
  #latest: Context | undefined
  #inFlight = 0
  /** Leases that the latest context got. */
  #granted = 0
  /** Whether the latest context answered a request. */
  #hasServed = false
  #failures = 0
  #retryAt = 0
  #usedAt: number
  readonly #vitals = new Vitals()
  #reason: EndReason | undefined
  /** The context that was told to end: nobody is told twice. */
  #told: Context | undefined
  #stopTimers: () => void = () => {}

  constructor(target: GroupTarget, host: GroupHost<Group>, onOutcome?: (error?: TenantryError) => void) {
    this.target = target
    this.#host = host
    this.#onOutcome = onOutcome
    this.#queue = new WaitQueue(host.clock)
    this.#usedAt = host.clock.now()
    this.#state = new StateMachine<GroupState>('group', TRANSITIONS, 'starting', (to, from) => {
      if (!watched('tenantry:group:state')) return
      const { label, processGroup } = target
      publish('tenantry:group:state', { label, processGroup, from, to, reason: this.#reason })
    })
  }

  get state(): GroupState {
    return this.#state.current
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get queued(): number {
    return this.#queue.size
  }

  get retryAt(): number {
    return this.#retryAt
  }

  get failures(): number {
    return this.#failures
  }

  get maxInFlight(): number {
    return this.target.tenant.groupLimits.maxInFlight
  }

  get maxQueue(): number {
    return this.target.tenant.groupLimits.maxQueue
  }

  /** The context that takes requests, or is about to. */
  get context(): Context | undefined {
    return this.#context
  }

  get holdsContext(): boolean {
    return this.#context !== undefined
  }

  get idle(): boolean {
    return this.#inFlight === 0 && this.#queue.size === 0 && this.#state.is('serving', 'failed')
  }

  /** Whether a start would serve anybody. */
  get wanted(): boolean {
    return this.#queue.size > 0 || this.#onOutcome !== undefined
  }

  /** Whether the next request is soon to come. A context that nobody asked anything of is not in use, however young it is. */
  get inUse(): boolean {
    return this.#granted > 0 && !(this.idle && this.unusedFor(this.#host.clock.now()) > IN_USE)
  }

  /** Milliseconds since it was last used. */
  unusedFor(now: number): number {
    return now - this.#usedAt
  }

  /** Takes a slot. Only for who was admitted. */
  lease(): Lease {
    const context = this.#context
    if (context === undefined || !this.#state.is('serving', 'draining')) {
      throw this.#error('ERR_STATE', `A ${this.state} group gives no lease`)
    }
    this.#inFlight++
    const lease = new GroupLease(this, context, this.target.label, this.target.tenant.groupLimits)
    const { maxRequests } = this.target.tenant.contextLimits
    if (++this.#granted === maxRequests && this.#state.is('serving')) this.retire('requests')
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

  onRelease(context: Context, served: boolean): void {
    if (served && context === this.#latest) this.#noteServed()
    // A slot of a context that ended went with it.
    if (context !== this.#context) return
    this.#inFlight--
    // While others are in flight it is in use, whatever the time is.
    if (this.#inFlight === 0) this.#usedAt = this.#host.clock.now()
    this.#serveQueue()
  }

  /** A failed group is to start again: launch() follows when there is a place. */
  restart(): void {
    this.#move('starting', undefined)
  }

  /** Nobody waits for the start any more: it does not happen. A back-off stays remembered. */
  abandon(): void {
    if (!this.#state.is('starting') || this.#context !== undefined || this.wanted) return
    if (this.#failures > 0) this.#move('failed', undefined)
    else this.#close(undefined)
  }

  /** Starts the context that this starting group waits for. */
  launch(): void {
    const { target } = this
    let context: Context
    try {
      context = this.#host.createContext(specOf(target))
    } catch (error) {
      this.#fail(asTenantryError(error, 'ERR_START_FAILED', 'The context could not be made'))
      return
    }
    this.#context = context
    this.#latest = context
    this.#inFlight = 0
    this.#granted = 0
    this.#hasServed = false
    context.onCondemned = (reason, error) => {
      // While it starts, `ready` says so.
      const isNews = context === this.#context && context !== this.#told && this.#state.is('serving', 'draining')
      if (isNews) this.terminate(reason, error)
    }
    this.#host.onBorn(context)
    context.ready.then(
      () => this.#onReady(context),
      (error: unknown) => this.#onStartFailed(context, asTenantryError(error, 'ERR_START_FAILED', 'The start failed')),
    )
    // `ended` never rejects.
    void context.ended.then((end) => this.#onEnded(context, end))
  }

  /** Leaves the table; finishes what is in flight and what waits already; then ends its context. */
  retire(reason: EndReason): void {
    if (this.#state.is('draining', 'closed')) return
    const context = this.#context
    const { inUse } = this
    if (context === undefined) {
      this.#host.onRetire(this, reason, false)
      this.#close(reason)
      return
    }
    const wasServing = this.#state.is('serving')
    this.#move('draining', reason)
    this.#host.onRetire(this, reason, inUse)
    if (wasServing) {
      this.#drain(context, reason)
    } else {
      this.#end(context, reason)
      this.#refuseAll(this.#replaced(reason))
    }
  }

  /** The application finishes and ends itself; past drainTimeout it is ended. */
  #drain(context: Context, reason: EndReason): void {
    const { clock, drainTimeout } = this.#host
    const stopNotice = clock.after(NOTICE_DELAY, () => this.#queue.size === 0 && context.drain(reason))
    const stopDeadline = clock.after(drainTimeout, () => {
      const message = `The context was ended after drainTimeout (${drainTimeout} ms): ${reason}`
      this.terminate(reason, this.#error('ERR_CONTEXT_EXITED', message))
    })
    this.#stopTimers = () => {
      stopNotice()
      stopDeadline()
    }
    this.#settle()
  }

  /** Ends the context now; what is in flight fails with `error`. */
  terminate(reason: EndReason, error: TenantryError): void {
    const context = this.#context
    if (context === undefined) {
      this.retire(reason)
      return
    }
    // Its slots go first: when its requests fail, those who wait must not get them.
    const isFirst = this.#condemn(context)
    if (this.#state.is('draining')) this.#close(reason, error)
    else this.#fail(error, reason)
    if (isFirst) void context.terminate(reason, error)
  }

  /** The supervisor's look; `elapsed`: since its last one, as far as the front itself was awake. */
  examine(now: number, elapsed: number): Verdict | undefined {
    const context = this.#context
    if (context === undefined || !this.#state.is('serving', 'draining')) return undefined
    return this.#vitals.examine(context, this.target.tenant, this.idle ? now - this.#usedAt : 0, now, elapsed)
  }

  #onReady(context: Context): void {
    if (context !== this.#context || !this.#state.is('starting')) return
    const { clock, random } = this.#host
    this.#host.onReady(context)
    this.#usedAt = clock.now()
    this.#vitals.begin(this.#usedAt, random())
    this.#move('serving', undefined)
    this.#tell()
    this.#serveQueue()
  }

  #onStartFailed(context: Context, error: TenantryError): void {
    if (context !== this.#context || !this.#state.is('starting')) return
    this.#end(context, 'startup', error)
    this.#fail(error, 'startup')
  }

  #onEnded(context: Context, end: ContextEnd): void {
    this.#host.onEnded(context, end)
    if (context !== this.#context) return
    const error = end.error ?? this.#error('ERR_CONTEXT_EXITED', 'The context exited')
    // An application that ends itself while nobody asks anything of it has done no wrong.
    if (this.#state.is('draining') || (this.#state.is('serving') && this.idle && end.reason === 'exit')) {
      this.#close(end.reason, error)
    } else {
      this.#fail(error, end.reason)
    }
  }

  /** The context is gone or going: whoever waits is served by another one, or hears why not. */
  #fail(error: TenantryError, reason: EndReason = 'startup'): void {
    const wasServing = this.#state.is('serving')
    this.#context = undefined
    this.#inFlight = 0
    // A daemon that died took us with it: nothing says that this application did wrong, but for one that is the
    // daemon's own main thread and never came up.
    const isInnocent = error.code === 'ERR_DAEMON_EXITED' && (wasServing || this.target.label !== '')
    if (!this.#hasServed && !isInnocent) {
      this.#failures++
      this.#retryAt = this.#host.clock.now() + backOff(this.#failures, this.#host.random())
    }
    this.#move('failed', reason)
    if (this.#queue.size > 0 && (isInnocent || (wasServing && this.#hasServed))) this.#host.onBereft(this)
    else this.#refuseAll(error)
  }

  #close(reason: EndReason | undefined, error?: TenantryError): void {
    this.#context = undefined
    this.#inFlight = 0
    this.#stopTimers()
    this.#move('closed', reason)
    this.#host.onClosed(this)
    this.#refuseAll(error ?? this.#replaced(reason))
  }

  /** Nobody who waits will be served by this group. */
  #refuseAll(error: TenantryError): void {
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

  /** How the first start went, said once. */
  #tell(error?: TenantryError): void {
    const onOutcome = this.#onOutcome
    this.#onOutcome = undefined
    onOutcome?.(error)
  }

  /** Those who wait hear why, when no other context may start for them. */
  giveUp(error: TenantryError): void {
    this.#queue.rejectAll(error)
  }

  #serveQueue(): void {
    while (this.#queue.size > 0 && (this.maxInFlight === 0 || this.#inFlight < this.maxInFlight)) {
      this.#queue.grant(this.lease())
    }
    if (this.#state.is('draining')) this.#settle()
  }

  /** A draining group that finished its work tells its context that it may go. */
  #settle(): void {
    const context = this.#context
    if (context === undefined || this.#queue.size > 0 || this.#inFlight > 0) return
    this.#host.onEnding(context)
    context.drain(this.#reason)
  }

  #onLeave(): void {
    if (this.#queue.size > 0) return
    if (this.#state.is('draining')) this.#settle()
    this.#host.onAbandoned(this)
  }

  #noteServed(): void {
    this.#hasServed = true
    this.#failures = 0
    this.#retryAt = 0
  }

  /** Ends a context, once. */
  #end(context: Context, reason: EndReason, error?: TenantryError): void {
    if (this.#condemn(context)) void context.terminate(reason, error)
  }

  /** False when it was told to end before. */
  #condemn(context: Context): boolean {
    this.#stopTimers()
    if (this.#told === context) return false
    this.#told = context
    this.#host.onEnding(context)
    return true
  }

  #move(to: GroupState, reason: EndReason | undefined): void {
    this.#reason = reason
    this.#state.to(to)
  }
}
