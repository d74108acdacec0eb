import { bodyConsumed, bodyTooLarge } from '../connection/body-facts.ts'
import { FetchRelay, responseOf } from './fetch-relay.ts'
import { FetchSource } from './fetch-source.ts'
import { mayRunAgain, Passage, publishRefusal } from './passage.ts'
import type { TenantryError } from '../errors.ts'
import type { PeerInfo, Settle } from './fetch-source.ts'
import type { BodyDeadlines } from '../connection/body-deadlines.ts'
import type { HandlerDeadlines } from './handler-deadlines.ts'
import type { Outlet } from './passage.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'

/** What a passage needs of its dispatcher. */
interface Dispatch {
  readonly deadlines: HandlerDeadlines
  readonly bodies: BodyDeadlines
  nextRequestId(): number
  again(passage: Passage<FetchSource>): void
}

/** How often the timer fires that keeps the process alive: it only has to be there. Milliseconds. */
const HOLD_INTERVAL = 60_000

/**
 * An abort of the request, seen as the close of a client's connection. As an open
 * connection would, it keeps the process alive: a context that dies does not.
 */
class AbortOutlet implements Outlet {
  readonly #signal: AbortSignal
  readonly #hold: NodeJS.Timeout | undefined
  readonly #listeners: (() => void)[] = []
  readonly #onAbort = (): void => {
    clearInterval(this.#hold)
    for (const listener of this.#listeners.splice(0)) listener()
  }

  constructor(signal: AbortSignal) {
    this.#signal = signal
    if (!signal.aborted) this.#hold = setInterval(() => {}, HOLD_INTERVAL)
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  get destroyed(): boolean {
    return this.#signal.aborted
  }

  once(_event: 'close', listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The request is over: a signal may live longer than it. */
  detach(): void {
    clearInterval(this.#hold)
    this.#listeners.length = 0
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}

/** A fetch-style request on its way to a relay. */
export class FetchPassage extends Passage<FetchSource> {
  readonly #dispatch: Dispatch
  readonly #settle: Settle
  readonly #outlet: AbortOutlet
  readonly #isFirst: boolean

  constructor(dispatch: Dispatch, request: Request, info: PeerInfo = {}, settle: Settle, isFirst = true) {
    const outlet = new AbortOutlet(request.signal)
    super(new FetchSource(request, info), outlet)
    this.#dispatch = dispatch
    this.#settle = settle
    this.#isFirst = isFirst
    this.#outlet = outlet
    const giveUp = (): void => settle.reject(request.signal.reason)
    outlet.once('close', giveUp)
    if (outlet.destroyed) giveUp()
  }

  protected enter(lease: Lease, mount: number, client: ClientFacts): void {
    const { request } = this.req
    if (request.bodyUsed) throw bodyConsumed(lease.label)
    const { bodyLimit } = lease.limits
    if (bodyLimit > 0 && Number(request.headers.get('content-length')) > bodyLimit) throw bodyTooLarge(bodyLimit, lease.label)
    const { deadlines, bodies } = this.#dispatch
    const again = this.#isFirst && mayRunAgain(lease, request.method, request.body !== null) ? () => this.#runAgain() : undefined
    const task = { lease, mount, client, requestId: this.#dispatch.nextRequestId(), deadlines, bodies, again }
    const relay = new FetchRelay(this.req, task, this.#settle, () => this.#outlet.detach())
    this.#outlet.once('close', () => relay.aborted())
  }

  /** With an outlet of its own: the first one is done with. */
  #runAgain(): void {
    const { request, socket } = this.req
    this.#dispatch.again(new FetchPassage(this.#dispatch, request, socket, this.#settle, false))
  }

  protected refuse(error: TenantryError): void {
    publishRefusal(this.req, error)
    this.#outlet.detach()
    this.#settle.resolve(responseOf(this.req.request, error))
  }
}
