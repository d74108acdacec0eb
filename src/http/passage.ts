import { asTenantryError, TenantryError } from '../errors.ts'
import { cutText, dispatchTracing, publish, watched } from '../events.ts'
import type http from 'node:http'
import { channelOf } from './connections.ts'
import type { PeerSocket } from './connections.ts'
import type { DispatchTrace } from '../events.ts'
import type { Lease } from '../group/lease.ts'
import type { CancelWait, Waiting } from '../group/wait-queue.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel } from '../wire/front-channel.ts'

/** What a client waits on, and what tells that it left: a response, or an upgraded socket. */
export interface Outlet {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
}

/** What is known of a request before anybody serves it: Node's own request, or a fetch-style one's facts. */
export interface RequestSource {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly rawHeaders: readonly string[]
  readonly headers: { readonly host?: string | undefined }
  readonly httpVersionMajor: number
  readonly httpVersionMinor: number
  /** HTTP/2's, where the request has one. */
  readonly authority?: string | undefined
  readonly socket: PeerSocket
}

/**
 * A request between its head and its lease. Exactly one of `enter` and `refuse`
 * runs, unless the client leaves first.
 */
export abstract class Passage<Source extends RequestSource = http.IncomingMessage> implements Waiting {
  readonly req: Source
  client: ClientFacts | undefined
  mount = 0
  /** There while a tracer listens. */
  trace: DispatchTrace | undefined
  readonly #outlet: Outlet

  constructor(req: Source, outlet: Outlet) {
    this.req = req
    this.#outlet = outlet
  }

  /** Has its lease: hands it on, or gives it back. */
  begin(lease: Lease): void {
    try {
      if (this.#outlet.destroyed) throw clientGone()
      this.enter(lease, this.mount, this.client as ClientFacts)
      if (this.trace !== undefined) endTrace(this.trace, lease.label, undefined)
    } catch (error) {
      lease.release(false)
      throw error
    }
  }

  get home(): FrontChannel | undefined {
    return channelOf(this.req.socket)
  }

  /** Waits for its lease: a client that leaves gives its place up. */
  onWait(cancel: CancelWait): void {
    this.#outlet.once('close', () => cancel(clientGone()))
  }

  refuseAny(thrown: unknown): void {
    if (this.#outlet.destroyed) return
    const error = asTenantryError(thrown, 'ERR_START_FAILED', 'The request could not be served')
    if (this.trace !== undefined) endTrace(this.trace, error.label, error)
    this.refuse(error)
  }

  /** Goes on with a lease, which it releases from now on; throws a TenantryError to be refused instead. */
  protected abstract enter(lease: Lease, mount: number, client: ClientFacts): void

  protected abstract refuse(error: TenantryError): void
}

/** RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** In a daemon, which others may kill; and what is safe to repeat, with nothing of it used up. */
export function mayRunAgain({ context }: Lease, method: string | undefined, hasBody: boolean): boolean {
  return context.spec.processGroup !== '' && !hasBody && IDEMPOTENT.has(method ?? '')
}

function clientGone(): TenantryError {
  return new TenantryError('ERR_CLIENT_GONE', 'The client left before its application group was ready')
}

function endTrace(trace: DispatchTrace, label: string | undefined, error: TenantryError | undefined): void {
  if (label !== undefined) trace.label = label
  if (error !== undefined) {
    trace.error = error
    dispatchTracing.error.publish(trace)
  }
  dispatchTracing.asyncEnd.publish(trace)
}

/** Tells whoever watches that a request was answered without an application. */
export function publishRefusal(req: RequestSource, error: TenantryError): void {
  if (!watched('tenantry:admission:refuse')) return
  const host = cutText(req.headers.host ?? req.authority ?? '')
  const { label, code, message } = error
  publish('tenantry:admission:refuse', { host, label, code, message })
}
