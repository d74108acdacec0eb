import { TenantryError } from '../errors.ts'
import { cutText, dispatchTracing } from '../events.ts'
import { refuseUpgrade, replyWithError } from '../connection/error-reply.ts'
import { takeEarlyRefusal } from './early-refusal.ts'
import { readExtendedConnect } from './extended-connect.ts'
import { FetchPassage } from './fetch.ts'
import { HandlerDeadlines } from './handler-deadlines.ts'
import { clientOf, factsOf } from './head-facts.ts'
import { mayRunAgain, Passage, publishRefusal } from './passage.ts'
import { closeWithConnection } from '../connection/pipelined.ts'
import { bodyConsumed, bodyTooLarge, readBodyFacts } from '../connection/body-facts.ts'
import { bodyFactsOf } from './http2-front.ts'
import { Relay } from './relay.ts'
import { FrontTunnel } from './tunnel.ts'
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Groups } from '../group/groups.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts, Trust } from '../label/trust.ts'
import type { BodyDeadlines } from '../connection/body-deadlines.ts'
import type { PeerInfo } from './fetch-source.ts'
import type { SendDeadlines } from '../connection/send-deadlines.ts'
import type { RequestSource } from './passage.ts'
import type { Resolver, Route } from './resolve.ts'

export type Next = (error?: unknown) => void

export interface DispatchSettings {
  readonly clock: Clock
  readonly groups: Pick<Groups, 'acquire'>
  readonly trust: Trust
  readonly bodies: BodyDeadlines
  readonly sends: SendDeadlines
  /** The resolver of now: a refresh of the tenants replaces it. */
  readonly resolver: () => Resolver
  /** False once the runtime drains. */
  readonly accepts: () => boolean
}

/**
 * The way of a request, in the order of docs/architecture.md: host check, allow,
 * tenant, label, group, lease, lane. Answers at once wherever it can, so that a
 * warm request costs no promise.
 */
export class Dispatcher {
  readonly deadlines: HandlerDeadlines
  readonly bodies: BodyDeadlines
  readonly sends: SendDeadlines
  readonly #settings: DispatchSettings
  #requests = 0

  constructor(settings: DispatchSettings) {
    this.#settings = settings
    this.deadlines = new HandlerDeadlines(settings.clock)
    this.bodies = settings.bodies
    this.sends = settings.sends
  }

  /**
   * Never throws: every failure becomes an answer, or goes to `next` when the host is not ours.
   * `expectsContinue`: the client waits for a 100, which only the application sends.
   */
  request(req: http.IncomingMessage, res: http.ServerResponse, next: Next | undefined, expectsContinue = false): void {
    if (!closeWithConnection(req, res)) return
    this.#start(new RequestPassage(this, req, res, next, expectsContinue))
  }

  /** As `request`, for an upgrade; also for an HTTP/2 server's 'connect', which has a response for a socket. */
  upgrade(req: http.IncomingMessage, socket: Duplex, head: Buffer, next: Next | undefined): void {
    const extended = readExtendedConnect(req, socket)
    if (extended === null) return
    if (extended !== undefined) {
      this.#start(new UpgradePassage(this, extended.req, extended.socket, Buffer.alloc(0), undefined))
      return
    }
    this.#start(new UpgradePassage(this, req, socket, head, next))
  }

  /** As `request`, for a fetch-style host; rejects only where an HTTP client would see its connection break off. */
  fetch(request: Request, info: PeerInfo | undefined): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#start(new FetchPassage(this, request, info, { resolve, reject }))
    })
  }

  /** Once more from the start: what served it is gone. */
  again(passage: Passage<RequestSource>): void {
    this.#dispatch(passage)
  }

  nextRequestId(): number {
    return ++this.#requests
  }

  close(): void {
    this.deadlines.close()
  }

  #start(passage: Passage<RequestSource>): void {
    if (!dispatchTracing.hasSubscribers) {
      this.#dispatch(passage)
      return
    }
    const { req } = passage
    passage.trace = { method: req.method ?? '', host: cutText(req.headers.host ?? req.authority ?? '') }
    dispatchTracing.start.publish(passage.trace)
    this.#dispatch(passage)
    dispatchTracing.end.publish(passage.trace)
  }

  #dispatch(passage: Passage<RequestSource>): void {
    try {
      const refusal = takeEarlyRefusal(passage.req.socket)
      if (refusal !== undefined) throw refusal
      const route = this.#resolve(passage)
      if (route instanceof Promise) {
        route.then((found) => this.#acquire(passage, found)).catch((error: unknown) => passage.refuseAny(error))
      } else {
        this.#acquire(passage, route)
      }
    } catch (error) {
      passage.refuseAny(error)
    }
  }

  #resolve(passage: Passage<RequestSource>): Route | Promise<Route> {
    const { req } = passage
    const client = clientOf(req, this.#settings.trust)
    passage.client = client
    return this.#settings.resolver().resolve(factsOf(req, client), client)
  }

  #acquire(passage: Passage<RequestSource>, route: Route): void {
    // Not before: a host that is not ours goes to the next middleware, whatever our state.
    if (!this.#settings.accepts()) throw new TenantryError('ERR_DRAINING', 'The server is closing')
    passage.mount = route.mount
    const lease = this.#settings.groups.acquire(route.target, passage)
    if (lease instanceof Promise) {
      lease.then((late) => passage.begin(late)).catch((error: unknown) => passage.refuseAny(error))
    } else {
      passage.begin(lease)
    }
  }
}

/** A request on its way to a relay. */
class RequestPassage extends Passage {
  readonly #dispatcher: Dispatcher
  readonly #res: http.ServerResponse
  readonly #next: Next | undefined
  readonly #expectsContinue: boolean
  #wasRunAgain = false

  constructor(
    dispatcher: Dispatcher,
    req: http.IncomingMessage,
    res: http.ServerResponse,
    next: Next | undefined,
    expectsContinue: boolean,
  ) {
    super(req, res)
    this.#dispatcher = dispatcher
    this.#res = res
    this.#next = next
    this.#expectsContinue = expectsContinue
  }

  protected enter(lease: Lease, mount: number, client: ClientFacts): void {
    const { req } = this
    if (this.#res.headersSent) throw answeredElsewhere(lease.label)
    const body = bodyFactsOf(req, this.#res)
    if (body.hasBody) {
      // Looked at here and not before: a body that an outer parser has read may belong to a request that is not ours.
      if (req.readableDidRead) throw bodyConsumed(lease.label)
      const { bodyLimit } = lease.limits
      if (bodyLimit > 0 && body.length !== undefined && body.length > bodyLimit) throw bodyTooLarge(bodyLimit, lease.label)
    }
    const { deadlines, bodies, sends } = this.#dispatcher
    const requestId = this.#dispatcher.nextRequestId()
    const expectsContinue = this.#expectsContinue
    const again = !this.#wasRunAgain && mayRunAgain(lease, req.method, body.hasBody) ? () => this.#runAgain() : undefined
    new Relay(req, this.#res, body, { lease, mount, client, requestId, expectsContinue, deadlines, bodies, sends, again })
  }

  #runAgain(): void {
    this.#wasRunAgain = true
    this.trace = undefined
    this.#dispatcher.again(this)
  }

  protected refuse(error: TenantryError): void {
    if (isForeign(error) && this.#next !== undefined) {
      this.#next()
      return
    }
    publishRefusal(this.req, error)
    if (this.#res.writableEnded) return
    try {
      replyWithError(this.req, this.#res, error)
      this.#dispatcher.sends.watchRest(this.req, this.#res, { label: error.label ?? '', onLate: () => this.#res.destroy() })
      if (readBodyFacts(this.req.rawHeaders).hasBody) this.#dispatcher.bodies.watchRest(this.req, this.#res)
    } catch {
      // An outer framework may have left the response in any state.
      this.#res.destroy()
    }
  }
}

/** An upgrade on its way to a tunnel. */
class UpgradePassage extends Passage {
  readonly #dispatcher: Dispatcher
  readonly #socket: Duplex
  readonly #head: Buffer
  readonly #next: Next | undefined

  constructor(
    dispatcher: Dispatcher,
    req: http.IncomingMessage,
    socket: Duplex,
    head: Buffer,
    next: Next | undefined,
  ) {
    super(req, socket)
    // node:http lets go of an upgraded socket: a client that resets it while its group starts would end the process.
    socket.on('error', () => {})
    this.#next = next
    this.#dispatcher = dispatcher
    this.#socket = socket
    this.#head = head
  }

  protected enter(lease: Lease, mount: number, client: ClientFacts): void {
    const requestId = this.#dispatcher.nextRequestId()
    const { sends } = this.#dispatcher
    new FrontTunnel(this.req, this.#socket, this.#head, { lease, mount, client, requestId, sends })
  }

  protected refuse(error: TenantryError): void {
    if (isForeign(error) && this.#next !== undefined) {
      this.#next()
      return
    }
    publishRefusal(this.req, error)
    refuseUpgrade(this.#socket, error)
  }
}

function answeredElsewhere(label: string): TenantryError {
  return new TenantryError('ERR_STATE', `A request for '${label}' was answered by somebody else before Tenantry could`, { label })
}

/** The host is not ours: in a middleware, the next one may know it. */
function isForeign({ code }: TenantryError): boolean {
  return code === 'ERR_HOST_NOT_ALLOWED' || code === 'ERR_TENANT_NOT_FOUND'
}
