import net from 'node:net'
import { systemClock } from '../clock.ts'
import { bodyTooLarge } from '../connection/body-facts.ts'
import { refuseUpgrade, replyWithError } from '../connection/error-reply.ts'
import { closeWithConnection } from '../connection/pipelined.ts'
import { SendDeadlines } from '../connection/send-deadlines.ts'
import { Sweep } from '../connection/sweep.ts'
import { TenantryError } from '../errors.ts'
import { Cell } from '../wire/scoreboard.ts'
import { announce, enterMount } from './application.ts'
import { HandedConnection, handedOf } from './handed-connection.ts'
import { HandedHead, mountOf } from './handed-head.ts'
import { HandedQueue } from './handed-queue.ts'
import { nodeHttp } from './node-internals.ts'
import { giveUpgrade } from './tunnel.ts'
import type http from 'node:http'
import type { ReadLimits } from '../connection/read-deadline.ts'
import type { LoadRequest } from '../wire/frames.ts'
import type { HandedRefusal, Held, RequestLimits } from '../wire/held.ts'
import type { MessagePort } from 'node:worker_threads'
import type { HandedCertificate, HandoverMessage, TakenMessage } from '../wire/handover.ts'
import type { Scoreboard } from '../wire/scoreboard.ts'
import type { Application } from './application.ts'
import type { Handing, HandedSocket } from './handed-connection.ts'
import type { HandedTls } from './handed-tls.ts'

/** What the server needs of its context. */
export interface HandedHost {
  readonly applications: readonly Application[]
  readonly request: LoadRequest
  readonly scoreboard: Scoreboard
  /** Of both lanes. */
  readonly inFlight: number
  /** It drains, or its application has closed its server: connections end with their answers. */
  readonly ending: boolean
  started(): void
  /** A request of this lane is over. */
  handedEnded(): void
  /** The last connection is gone. */
  handedClosed(): void
  refused(refusal: HandedRefusal): void
}

const UNHELD: Held = {
  requests: { handlerTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 0 },
  pace: {
    headerTimeout: 0, headerMaxTimeout: 0, headerMinRate: 0, bodyTimeout: 0, bodyMaxTimeout: 0, bodyMinRate: 0,
    sendTimeout: 0, queueTimeout: 0,
  },
}

/** A context's own http.Server, on connections that were handed over: node:http's speed, and the limits of the relay. */
export class HandedServer implements Handing {
  readonly label: string
  readonly sweep = new Sweep(systemClock)
  readonly sends: SendDeadlines
  readonly headPace: ReadLimits
  readonly bodyPace: ReadLimits
  readonly limits: RequestLimits
  readonly #host: HandedHost
  readonly #server: http.Server
  readonly #head = new HandedHead()
  readonly #queue: HandedQueue
  readonly #handshakes = new Set<net.Socket>()
  #tls: Promise<HandedTls> | undefined
  #size = 0
  #inFlight = 0

  constructor(host: HandedHost) {
    const { label, held: { requests, pace } = UNHELD } = host.request
    this.label = label
    this.limits = requests
    this.bodyPace = { timeout: pace.bodyTimeout, maxTimeout: pace.bodyMaxTimeout, minRate: pace.bodyMinRate }
    this.headPace = { timeout: pace.headerTimeout, maxTimeout: pace.headerMaxTimeout, minRate: pace.headerMinRate }
    this.sends = new SendDeadlines(pace.sendTimeout, this.sweep)
    this.#host = host
    this.#queue = new HandedQueue(this.sweep, label, requests.maxQueue, pace.queueTimeout, (queued) => {
      this.scoreboard.write(Cell.handedQueued, queued)
    })
    this.#server = this.#openServer()
  }

  /** Connections that are open. */
  get size(): number {
    return this.#size
  }

  get scoreboard(): Scoreboard {
    return this.#host.scoreboard
  }

  get ending(): boolean {
    return this.#host.ending
  }

  /** Serves a connection from now on. `port` hears that its descriptor is ours; if it is none, it is still the sender's. */
  take([id, fd, first, hosts, certificate]: HandoverMessage, port: MessagePort): void {
    let socket: HandedSocket
    try {
      // As http.Server has them: a client may end its half before it has its answer. Those of node:https may not.
      socket = new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: certificate === undefined })
    } catch {
      this.scoreboard.add(Cell.handedOpened, 1)
      return
    }
    port.postMessage(id satisfies TakenMessage)
    // In this order: the front may look between the two, and must not miss one that is open.
    this.scoreboard.write(Cell.handedConnections, ++this.#size)
    this.scoreboard.add(Cell.handedOpened, 1)
    const bytes = Buffer.from(first.buffer, first.byteOffset, first.byteLength)
    if (certificate === undefined) this.#open(socket, bytes, hosts)
    else void this.#secure(socket, bytes, hosts, certificate)
  }

  /** Idle connections close now, the others with their answers; those that have begun are counted, for a context that exits. */
  wind(): void {
    for (const socket of this.#handshakes) socket.destroy()
    this.sweep.look()
  }

  onBegun(): void {
    this.scoreboard.add(Cell.handedServed, 1)
  }

  onEnd(isBegun: boolean): void {
    this.scoreboard.write(Cell.handedInFlight, --this.#inFlight)
    if (!isBegun) this.scoreboard.add(Cell.handedServed, 1)
    this.#host.handedEnded()
  }

  onClose(): void {
    this.scoreboard.write(Cell.handedConnections, --this.#size)
    if (this.#size === 0) this.#host.handedClosed()
  }

  refused(refusal: HandedRefusal): void {
    this.#host.refused(refusal)
  }

  /** A request is over, on whichever lane. */
  serveQueue(): void {
    while (this.#queue.size > 0 && this.#hasSlot()) this.#queue.grant()
  }

  #open(socket: HandedSocket, first: Buffer, hosts: readonly string[]): void {
    new HandedConnection(socket, first.byteLength, hosts, this)
    this.#server.emit('connection', socket)
    const [application, other] = this.#host.applications
    if (other === undefined && application?.server !== undefined) announce(application.server, socket)
    // As if it were read now: before anything that the descriptor still has.
    if (first.byteLength > 0) socket.emit('data', first)
  }

  /** Its handshake first. */
  async #secure(socket: HandedSocket, first: Buffer, hosts: readonly string[], certificate: HandedCertificate): Promise<void> {
    socket.unshift(first)
    socket.on('error', () => {})
    this.#handshakes.add(socket)
    const [host = ''] = hosts
    const { remoteAddress: peer = '' } = socket
    // Loaded with the first one: most contexts are asked for plainly, or behind the front's own TLS.
    this.#tls ??= import('./handed-tls.ts').then(({ HandedTls }) => new HandedTls(this.headPace.timeout))
    const tls = await this.#tls
    tls.accept(socket, certificate, {
      onSecure: (secured) => {
        this.#handshakes.delete(socket)
        this.#open(secured, Buffer.alloc(0), hosts)
      },
      onFailure: (error) => {
        this.#handshakes.delete(socket)
        if (error !== undefined) this.refused({ code: error.code, message: error.message, host, peer, method: '', outcome: 'refused' })
        this.onClose()
      },
    })
  }

  #openServer(): http.Server {
    // As the front's: deadlines are ours.
    const server = nodeHttp.createServer({ requireHostHeader: false, headersTimeout: 0, requestTimeout: 0 })
    server.on('request', (req, res) => this.#onRequest(req, res, false))
    server.on('checkContinue', (req, res) => this.#onRequest(req, res, true))
    server.on('checkExpectation', (req, res) => this.#onRequest(req, res, false))
    server.on('upgrade', (req, socket, head) => this.#onUpgrade('upgrade', req, socket as HandedSocket, head))
    server.on('connect', (req, socket, head) => this.#onUpgrade('connect', req, socket as HandedSocket, head))
    // Where nobody wants upgrades, such a request is an ordinary one.
    const { listenerCount } = server
    server.listenerCount = (event: string | symbol, ...rest: []) => event === 'upgrade'
      ? Math.max(...this.#host.applications.map(({ server: own }) => own?.listenerCount('upgrade') ?? 0))
      : listenerCount.call(server, event, ...rest)
    return server
  }

  #onRequest(req: http.IncomingMessage, res: http.ServerResponse, expectsContinue: boolean): void {
    const connection = handedOf(req.socket)
    if (connection === undefined || !closeWithConnection(req, res)) return
    const { hasBody, length } = this.#head.read(req.rawHeaders)
    connection.heads?.asked(req, res)
    const error = this.#objectionTo(connection, req, length)
    if (hasBody) connection.awaitBody(req, res, length, error === undefined ? this.limits.bodyLimit : 0)
    if (error !== undefined) return this.#refuse(connection, req, res, error)
    if (this.#host.ending) res.shouldKeepAlive = false
    if (this.#hasSlot()) this.#serve(connection, req, res, expectsContinue)
    else this.#queueUp(connection, req, () => this.#serve(connection, req, res, expectsContinue), (late) => this.#refuse(connection, req, res, late))
  }

  #serve(connection: HandedConnection, req: http.IncomingMessage, res: http.ServerResponse, expectsContinue: boolean): void {
    const { mounts } = this.#host.request
    const mount = mountOf(mounts, req.url as string)
    const application = this.#host.applications[mount]
    if (application === undefined) return this.#refuse(connection, req, res, this.#notFound())
    this.#started()
    connection.begin(res, application.server)
    const { path } = mounts[mount] as { path: string }
    if (path !== '') enterMount(req, path)
    application.handle(req, res, connection.socket, expectsContinue)
  }

  #onUpgrade(event: 'upgrade' | 'connect', req: http.IncomingMessage, socket: HandedSocket, head: Buffer): void {
    const connection = handedOf(socket)
    if (connection === undefined) return
    const { mounts } = this.#host.request
    this.#head.read(req.rawHeaders)
    const application = this.#host.applications[mountOf(mounts, req.url as string)]
    const error = this.#objectionTo(connection, req, undefined) ?? (application === undefined ? this.#notFound() : undefined)
    if (error !== undefined || application === undefined) {
      connection.detach()
      if (error !== undefined) this.#refuseUpgrade(connection, req, socket, error)
      return
    }
    connection.detach()
    const serve = (): void => {
      this.#started()
      connection.upgrade(application.server)
      giveUpgrade(event, req, socket, head, application)
    }
    // As on the relay: else one client could have as many of them as there may be connections.
    if (this.#hasSlot()) serve()
    else this.#queueUp(connection, req, serve, (late) => this.#refuseUpgrade(connection, req, socket, late))
  }

  #refuseUpgrade(connection: HandedConnection, req: http.IncomingMessage, socket: HandedSocket, error: TenantryError): void {
    connection.report(error, 'refused', req)
    refuseUpgrade(socket, error)
  }

  #started(): void {
    this.scoreboard.write(Cell.handedInFlight, ++this.#inFlight)
    this.#host.started()
  }

  #hasSlot(): boolean {
    const { maxInFlight } = this.limits
    return maxInFlight === 0 || this.#host.inFlight < maxInFlight
  }

  /** Until somebody's request is over, on whichever lane; `refuse` hears why it was not to be. */
  #queueUp(connection: HandedConnection, req: http.IncomingMessage, serve: () => void, refuse: (error: TenantryError) => void): void {
    connection.queued++
    const { socket } = req
    const error = this.#queue.add({
      isGone: () => socket.destroyed,
      onSlot: () => {
        connection.queued--
        if (!socket.destroyed) serve()
      },
      onLate: (late) => {
        connection.queued--
        refuse(late)
      },
    })
    if (error === undefined) return
    connection.queued--
    refuse(error)
  }

  /** Why this request is not served; reads what the head's reader has read last. */
  #objectionTo(connection: HandedConnection, { url = '' }: http.IncomingMessage, length: number | undefined): TenantryError | undefined {
    const { bodyLimit } = this.limits
    const objection = this.#head.objection(url, connection, this.label)
    if (objection !== undefined || bodyLimit === 0 || length === undefined || length <= bodyLimit) return objection
    return bodyTooLarge(bodyLimit, this.label)
  }

  #notFound(): TenantryError {
    return new TenantryError('ERR_TENANT_NOT_FOUND', "No mount of the tenant fits the request's path", { label: this.label })
  }

  #refuse(connection: HandedConnection, req: http.IncomingMessage, res: http.ServerResponse, error: TenantryError): void {
    connection.report(error, 'refused', req)
    connection.refuse(res)
    if (!res.writableEnded) replyWithError(req, res, error)
  }
}
