import { recordOf } from '../wire/error-record.ts'
import { Flag } from '../wire/frames.ts'
import { Cell } from '../wire/scoreboard.ts'
import { Slots } from '../wire/slots.ts'
import { TenantChannel } from '../wire/tenant-channel.ts'
import { ClientConnection } from './connection.ts'
import { Exchange } from './exchange.ts'
import { Lifecycle } from './lifecycle.ts'
import { loadApplications } from './load.ts'
import { Tunnel } from './tunnel.ts'
import { enterMount } from './application.ts'
import type { Application } from './application.ts'
import type { ExchangeTotals } from './exchange.ts'
import type { Carrier } from '../wire/carrier.ts'
import type { ConnectionFacts, LoadRequest } from '../wire/frames.ts'
import type { HandedRefusal } from '../wire/held.ts'
import type { FrontListener, RequestHead, TenantStream } from '../wire/tenant-channel.ts'
import type { Scoreboard } from '../wire/scoreboard.ts'

/** Whether waiting for the front keeps the thread alive, and whether the front has what was sent. */
export interface Liveness {
  ref(): void
  unref(): void
  /** A connection was handed over that nobody has opened yet: opens it. */
  isOwed(): boolean
  /** Nothing of ours keeps it alive any more. */
  release(): void
  /** Resolves when everything that was sent has left this thread. */
  written(): Promise<void>
}

/** The connections that were handed over to this context; see handed-server.ts. */
export interface HandedLane {
  readonly size: number
  /** The context ends: idle connections close, others with their answers. */
  wind(): void
  serveQueue(): void
}

/** What a context does: loads its applications, gives each request to one, drains, ends. */
export class Service implements FrontListener, ExchangeTotals {
  readonly channel: TenantChannel
  readonly #scoreboard: Scoreboard
  readonly #liveness: Liveness
  readonly #lifecycle = new Lifecycle()
  readonly #connections = new Slots<ClientConnection>()
  applications: readonly Application[] = []
  request!: LoadRequest
  /** Once a connection was handed over. */
  handed: HandedLane | undefined
  /** Requests of both lanes. */
  inFlight = 0
  #draining = false
  /** It listens for the word that it is to end: it ends itself. */
  #told = false
  #serversClosed = false

  constructor(carrier: Carrier, scoreboard: Scoreboard, liveness: Liveness) {
    this.#scoreboard = scoreboard
    this.#liveness = liveness
    this.channel = new TenantChannel(carrier, this)
    this.channel.hello()
  }

  onLoad(request: LoadRequest): void {
    this.request = request
    // While it loads, only the application's own work keeps the thread alive: one
    // that will never listen ends by itself, as it would under `node entry`.
    this.#liveness.unref()
    loadApplications(request, this.#lifecycle).then(
      (applications) => {
        this.applications = applications
        this.#liveness.ref()
        this.#scoreboard.write(Cell.lastActivity, Date.now())
        this.channel.ready(applications.map((application) => application.kind))
        for (const { server } of applications) server?.once('close', () => this.#onServerClosed())
      },
      (error: unknown) => this.channel.failed(recordOf(error)),
    )
  }

  onConnection(number: number, facts: ConnectionFacts): void {
    this.#connections.put(number, this.#connect(facts, number))
    this.#scoreboard.write(Cell.connections, this.#connections.size)
  }

  onDisconnect(number: number): void {
    this.#connections.get(number)?.closeFromFront()
    this.#forget(number)
  }

  onRequest(head: RequestHead, stream: TenantStream): void {
    const shared = this.#connections.get(head.connection) as ClientConnection
    const application = this.applications[head.mount] as Application
    const mount = this.request.mounts[head.mount]?.path ?? ''
    if (head.flags & Flag.UPGRADE) {
      Tunnel.open(head, stream, new ClientConnection(shared.facts, () => {}), application, this)
      return
    }
    // A response owns its socket, and the application may have destroyed the last one's: then this one gets its own.
    const connection = shared._httpMessage === null && !shared.destroyed ? shared : this.#connect(shared.facts, undefined)
    const exchange = new Exchange(head, stream, connection, this)
    if (mount !== '') enterMount(exchange.req, mount)
    if (application.server !== undefined) exchange.countOn(application.server)
    application.handle(exchange.req, exchange.res, exchange.connection, (head.flags & Flag.EXPECT_CONTINUE) !== 0)
    exchange.begin(head)
  }

  /**
   * No request will follow. The application hears it at once, as from a process manager: only it can end its event
   * streams and its WebSockets. Without a listener, what is in flight goes on to its end.
   */
  onDrain(): void {
    this.#draining = true
    this.#lifecycle.drain()
    this.#told = process.listenerCount('SIGTERM') > 0
    // As behind a real signal: what a listener throws is uncaught.
    process.nextTick(() => (process as NodeJS.EventEmitter).emit('SIGTERM', 'SIGTERM', 15))
    this.handed?.wind()
    if (this.inFlight === 0) this.#finish()
  }

  get ending(): boolean {
    return this.#draining || this.#serversClosed
  }

  /** It has applications, has nothing to do for any of them, and goes on; see idle-memory.ts. */
  get isIdle(): boolean {
    return this.applications.length > 0 && this.inFlight === 0 && !this.ending
  }

  get scoreboard(): Scoreboard {
    return this.#scoreboard
  }

  refused(refusal: HandedRefusal): void {
    this.channel.refused(refusal)
  }

  started(): void {
    this.inFlight++
    this.#scoreboard.write(Cell.inFlight, this.inFlight)
  }

  ended(bytesIn: number, bytesOut: number): void {
    this.#scoreboard.add(Cell.bytesIn, bytesIn)
    this.#scoreboard.add(Cell.bytesOut, bytesOut)
    this.#scoreboard.write(Cell.lastActivity, Date.now())
    this.handedEnded()
  }

  handedEnded(): void {
    this.inFlight--
    this.#scoreboard.write(Cell.inFlight, this.inFlight)
    this.#scoreboard.add(Cell.served, 1)
    this.handed?.serveQueue()
    this.handedClosed()
  }

  /** Perhaps it was the last. */
  handedClosed(): void {
    if (this.inFlight > 0) return
    if (this.#draining) this.#finish()
    else if (this.#serversClosed) this.#liveness.unref()
  }

  #connect(facts: ConnectionFacts, number: number | undefined): ClientConnection {
    return new ClientConnection(facts, () => {
      if (number === undefined || this.#connections.get(number) === undefined) return
      this.#forget(number)
      this.channel.disconnect(number)
    })
  }

  #forget(number: number): void {
    this.#connections.delete(number)
    this.#scoreboard.write(Cell.connections, this.#connections.size)
  }

  /** The application stopped listening: without other work of its own, the thread ends as a process would. */
  #onServerClosed(): void {
    if (this.applications.some(({ server }) => server?.listening === true)) return
    this.#serversClosed = true
    this.handed?.wind()
    // Another mount's application may have none that could be closed.
    if (this.inFlight === 0) this.#liveness.unref()
  }

  #finish(): void {
    this.channel.flush()
    this.#lifecycle.settled().then(async () => await this.#liveness.written()).then(
      () => {
        // One that was on its way came meanwhile, or an answer still leaves; its end comes back here.
        if (this.inFlight > 0 || this.#liveness.isOwed() || (this.handed?.size ?? 0) > 0) return
        // One that was told ends when its own work is done; without a listener the default is to end.
        if (this.#told) this.#liveness.release()
        else process.exit()
      },
      () => process.exit(1),
    )
  }
}
