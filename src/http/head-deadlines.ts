import diagnostics from 'node:diagnostics_channel'
import tls from 'node:tls'
import { publish } from '../events.ts'
import { HeadWatch, headsOf, Http1Heads } from '../connection/head-watch.ts'
import type http from 'node:http'
import type http2 from 'node:http2'
import type https from 'node:https'
import type net from 'node:net'
import type { TenantryError } from '../errors.ts'
import type { ReadLimits } from '../connection/read-deadline.ts'
import type { Sweep } from '../connection/sweep.ts'

/** A server whose connections can be watched. */
export type WatchedServer = http.Server | https.Server | http2.Http2Server | http2.Http2SecureServer

/** What Node publishes for each head of HTTP/1 that is complete, before anybody's listener; not for an upgrade. */
const REQUEST_START = 'http.server.request.start'

interface RequestStart {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  readonly socket: net.Socket
  readonly server: unknown
}

/**
 * `headerTimeout` for all connections of a server. Node keeps the bytes of an
 * unfinished head to itself, but counts them: their number is read in one sweep
 * for all connections, so that a byte costs nothing and TLS is no other case.
 */
export class HeadDeadlines {
  readonly #limits: ReadLimits
  readonly #sweep: Sweep
  readonly #servers = new WeakSet<WatchedServer>()

  constructor(limits: ReadLimits, sweep: Sweep) {
    this.#limits = limits
    this.#sweep = sweep
  }

  /** Watches each connection that the server accepts from now on. A second call for one server does nothing. */
  protect(server: WatchedServer): void {
    if (this.#limits.timeout === 0 || this.#servers.has(server)) return
    this.#servers.add(server)
    // First of all listeners: node:http2 makes its session within its own.
    server.prependListener(server instanceof tls.Server ? 'secureConnection' : 'connection', (socket: net.Socket) => {
      new Http1Heads(socket, this.#limits, this.#sweep, publishRefusal)
    })
    server.on('session', (session: http2.ServerHttp2Session) => {
      // The session shows a substitute of its socket; what the socket is marked with shines through.
      const connection = headsOf(session.socket)
      if (connection === undefined) return
      connection.leave()
      new Http2Heads(session, connection.socket, this.#limits, this.#sweep)
    })
    const onStart = (message: unknown): void => {
      const { request, response, socket, server: whose } = message as RequestStart
      if (whose === server) headsOf(socket)?.asked(request, response)
    }
    diagnostics.subscribe(REQUEST_START, onStart)
    server.once('close', () => diagnostics.unsubscribe(REQUEST_START, onStart))
  }
}

function publishRefusal({ code, message }: TenantryError): void {
  publish('tenantry:admission:refuse', { host: '', code, message })
}

/**
 * HTTP/2's frames hide where a head begins. What can be seen: the connection has
 * no stream, and what it sends becomes none. One that only sends frames nobody
 * tells us of is closed gently, as any idle one might be.
 */
class Http2Heads extends HeadWatch {
  readonly #session: http2.ServerHttp2Session
  #streams = 0
  #isActive = false

  constructor(session: http2.ServerHttp2Session, socket: net.Socket, limits: ReadLimits, sweep: Sweep) {
    super(socket, limits, sweep, publishRefusal)
    this.#session = session
    const onActive = (): void => this.#act()
    session.on('remoteSettings', onActive)
    session.on('localSettings', onActive)
    session.on('ping', onActive)
    session.on('stream', (stream) => {
      this.#streams++
      stream.once('close', () => this.#streams--)
      this.#act()
    })
  }

  asked(): void {}

  protected isForeign(): boolean {
    return this.#session.destroyed
  }

  protected isServing(): boolean {
    const isActive = this.#isActive || this.#streams > 0
    this.#isActive = false
    return isActive
  }

  protected farewell(): void {
    this.#session.close()
  }

  protected destroy(): void {
    this.#session.destroy()
  }

  #act(): void {
    this.#isActive = true
    this.deadline = 0
  }
}
