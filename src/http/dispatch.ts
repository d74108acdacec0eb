import { asTenantryError, TenantryError } from '../errors.ts'
import { cutText, publish, watched } from '../events.ts'
import { readFacts } from '../label/head.ts'
import { forwardedFacts } from '../label/trust.ts'
import { replyWithError } from './error-reply.ts'
import { HandlerDeadlines } from './handler-deadlines.ts'
import { isHttp2 } from './response-head.ts'
import { bodyTooLarge, readBodyFacts, Relay } from './relay.ts'
import { FrontTunnel, refuseUpgrade } from './tunnel.ts'
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import type net from 'node:net'
import type { Clock } from '../clock.ts'
import type { Groups } from '../group/groups.ts'
import type { Lease } from '../group/lease.ts'
import type { RequestFacts } from '../label/request-facts.ts'
import type { ClientFacts, Trust } from '../label/trust.ts'
import type { Resolver, Route } from './resolve.ts'

export type Next = (error?: unknown) => void

export interface DispatchSettings {
  readonly clock: Clock
  readonly groups: Groups
  readonly trust: Trust
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
  readonly #settings: DispatchSettings
  readonly #deadlines: HandlerDeadlines
  #requests = 0

  constructor(settings: DispatchSettings) {
    this.#settings = settings
    this.#deadlines = new HandlerDeadlines(settings.clock)
  }

  /**
   * Never throws: every failure becomes an answer, or goes to `next` when the host is not ours.
   * `expectsContinue`: the client waits for a 100, which only the application sends.
   */
  request(req: http.IncomingMessage, res: http.ServerResponse, next: Next | undefined, expectsContinue = false): void {
    const refuse = (error: TenantryError): void => this.#refuse(req, res, next, error)
    const body = readBodyFacts(req.rawHeaders)
    this.#lease(
      req,
      res,
      (lease, mount, client) => {
        // Looked at here and not before: a body that an outer parser has read may belong to a request that is not ours.
        if (body.hasBody && req.readableDidRead) throw bodyConsumed(lease.label)
        const { bodyLimit } = lease.limits
        if (bodyLimit > 0 && body.length !== undefined && body.length > bodyLimit) throw bodyTooLarge(bodyLimit, lease.label)
        const requestId = ++this.#requests
        new Relay(req, res, body, { lease, mount, client, requestId, expectsContinue, deadlines: this.#deadlines })
      },
      refuse,
    )
  }

  upgrade(req: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    // node:http lets go of an upgraded socket: a client that resets it while its group starts would end the process.
    socket.on('error', () => {})
    this.#lease(
      req,
      socket,
      (lease, mount, client) => {
        new FrontTunnel(req, socket, head, { lease, mount, client, requestId: ++this.#requests })
      },
      (error) => {
        this.#publishRefusal(req, error)
        refuseUpgrade(socket, error)
      },
    )
  }

  close(): void {
    this.#deadlines.close()
  }

  /** Finds the group and leases it; exactly one of `use` and `refuse` runs, unless the client leaves first. */
  #lease(
    req: http.IncomingMessage,
    outlet: http.ServerResponse | Duplex,
    use: (lease: Lease, mount: number, client: ClientFacts) => void,
    refuse: (error: TenantryError) => void,
  ): void {
    const refuseAny = (thrown: unknown): void => {
      if (outlet.destroyed) return
      refuse(asTenantryError(thrown, 'ERR_START_FAILED', 'The request could not be served'))
    }
    try {
      if (!this.#settings.accepts()) throw new TenantryError('ERR_DRAINING', 'The server is closing')
      const arrival = this.#arrive(req)
      const route = this.#settings.resolver().resolve(arrival.facts)
      if (route instanceof Promise) route.then((found) => this.#acquire(found, arrival, outlet, use, refuseAny)).catch(refuseAny)
      else this.#acquire(route, arrival, outlet, use, refuseAny)
    } catch (error) {
      refuseAny(error)
    }
  }

  #acquire(
    route: Route,
    arrival: { readonly client: ClientFacts },
    outlet: http.ServerResponse | Duplex,
    use: (lease: Lease, mount: number, client: ClientFacts) => void,
    refuseAny: (thrown: unknown) => void,
  ): void {
    const begin = (lease: Lease): void => {
      try {
        if (outlet.destroyed) throw clientGone()
        use(lease, route.mount, arrival.client)
      } catch (error) {
        lease.release(false)
        throw error
      }
    }
    const lease = this.#settings.groups.acquire(route.target, (cancel) => {
      // A waiter whose client leaves gives its place up.
      outlet.once('close', () => cancel(clientGone()))
    })
    if (lease instanceof Promise) lease.then(begin).catch(refuseAny)
    else begin(lease)
  }

  #arrive(req: http.IncomingMessage): { readonly facts: RequestFacts; readonly client: ClientFacts } {
    const socket = req.socket as net.Socket & { encrypted?: boolean }
    const encrypted = socket.encrypted === true
    const client = this.#settings.trust(
      { clientAddress: socket.remoteAddress ?? '', clientPort: socket.remotePort, encrypted },
      req.rawHeaders,
    )
    const facts = readFacts({
      method: req.method as string,
      url: req.url as string,
      rawHeaders: req.rawHeaders,
      httpVersionMajor: req.httpVersionMajor,
      httpVersionMinor: req.httpVersionMinor,
      // A Unix socket has no port: it counts as the scheme's own.
      acceptingPort: socket.localPort ?? (encrypted ? 443 : 80),
      encrypted,
      authority: req.httpVersionMajor === 2 ? (req as { authority?: string }).authority : undefined,
    })
    return { facts: forwardedFacts(facts, client), client }
  }

  #refuse(req: http.IncomingMessage, res: http.ServerResponse, next: Next | undefined, error: TenantryError): void {
    const isForeign = error.code === 'ERR_HOST_NOT_ALLOWED' || error.code === 'ERR_TENANT_NOT_FOUND'
    if (isForeign && next !== undefined) {
      next()
      return
    }
    this.#publishRefusal(req, error)
    try {
      replyWithError(req, res, error)
    } catch {
      // An outer framework may have left the response in any state.
      if (!isHttp2(res)) res.destroy()
    }
  }

  #publishRefusal(req: http.IncomingMessage, error: TenantryError): void {
    if (!watched('tenantry:admission:refuse')) return
    const host = cutText(req.headers.host ?? (req as { authority?: string }).authority ?? '')
    const { label, code, message } = error
    publish('tenantry:admission:refuse', { host, label, code, message })
  }
}

function clientGone(): TenantryError {
  return new TenantryError('ERR_CLIENT_GONE', 'The client left before its application group was ready')
}

function bodyConsumed(label: string): TenantryError {
  const message =
    `The body of a request for '${label}' was read before it reached Tenantry: mount runtime.handler before body parsers`
  return new TenantryError('ERR_BODY_CONSUMED', message, { label })
}
