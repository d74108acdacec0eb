import diagnostics from 'node:diagnostics_channel'
import tls from 'node:tls'
import { publish } from '../events.ts'
import { rawErrorReply } from './error-reply.ts'
import { readDeadline, readTimeout } from './read-deadline.ts'
import { hasRequestLine, isParsed } from './unfinished-head.ts'
import type http from 'node:http'
import type http2 from 'node:http2'
import type https from 'node:https'
import type net from 'node:net'
import type { TenantryError } from '../errors.ts'
import type { ReadLimits } from './read-deadline.ts'
import type { Sweep, Watched } from './sweep.ts'

/** A server whose connections can be watched. */
export type WatchedServer = http.Server | https.Server | http2.Http2Server | http2.Http2SecureServer

/** How long a 408 or a GOAWAY may take to leave. Milliseconds. */
const FAREWELL = 1000

/** What Node publishes for each head of HTTP/1 that is complete, before anybody's listener; not for an upgrade. */
const REQUEST_START = 'http.server.request.start'

interface RequestStart {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  readonly socket: net.Socket
  readonly server: unknown
}

const kWatched = Symbol('tenantry.head')

interface WatchedSocket extends net.Socket {
  [kWatched]?: Connection
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
      new Http1Connection(socket, this.#limits, this.#sweep)
    })
    server.on('session', (session: http2.ServerHttp2Session) => {
      // The session shows a substitute of its socket; what the socket is marked with shines through.
      const connection = (session.socket as WatchedSocket)[kWatched]
      if (connection === undefined) return
      connection.leave()
      new Http2Connection(session, connection.socket, this.#limits, this.#sweep)
    })
    const onStart = (message: unknown): void => {
      const { request, response, socket, server: whose } = message as RequestStart
      if (whose === server) (socket as WatchedSocket)[kWatched]?.asked(request, response)
    }
    diagnostics.subscribe(REQUEST_START, onStart)
    server.once('close', () => diagnostics.unsubscribe(REQUEST_START, onStart))
  }
}

/**
 *     between → head → closing
 *
 * Between requests it is looked at in every sweep: a head begins with the first
 * byte that nobody was served for. A head is left alone until its deadline.
 */
abstract class Connection implements Watched {
  readonly socket: net.Socket
  deadline = 0
  place = -1
  readonly #limits: ReadLimits
  readonly #sweep: Sweep
  #stage: 'between' | 'head' | 'closing' = 'between'
  /** Received before the stage began. */
  #base = 0
  #startedAt: number
  #lookedAt: number
  #hasServed = false

  constructor(socket: net.Socket, limits: ReadLimits, sweep: Sweep) {
    this.socket = socket
    this.#limits = limits
    this.#sweep = sweep
    this.#startedAt = this.#lookedAt = sweep.clock.now()
    ;(socket as WatchedSocket)[kWatched] = this
    socket.on('close', onClose)
    sweep.add(this)
  }

  leave(): void {
    this.#sweep.delete(this)
    this.socket.off('close', onClose)
  }

  due(now: number): void {
    // The first byte of a head came between two looks; the earlier one counts.
    const before = this.#lookedAt
    this.#lookedAt = now
    if (this.#stage === 'closing') return this.destroy()
    if (this.isForeign()) return this.leave()
    if (this.isServing()) return this.#serve()
    const bytes = this.socket.bytesRead - this.#base
    if (this.#stage === 'between') {
      // Node's keepAliveTimeout is what counts for a connection that has been used.
      if (bytes === 0 && this.#hasServed) return
      if (bytes > 0) this.#begin(before)
    }
    const deadline = readDeadline(this.#limits, this.#startedAt, bytes)
    if (now >= deadline) return this.#close(now, bytes)
    if (this.#stage === 'head') this.deadline = deadline
  }

  /** A complete HTTP/1 head. */
  abstract asked(request: http.IncomingMessage, response: http.ServerResponse): void

  /** Is not HTTP any more. */
  protected abstract isForeign(): boolean

  /** A request is under way, or one has come and gone since the last look. */
  protected abstract isServing(): boolean

  /** Tells the client, where there is something to tell. */
  protected abstract farewell(error: TenantryError): void

  protected abstract destroy(): void

  #begin(startedAt: number): void {
    this.#stage = 'head'
    this.#startedAt = startedAt
    // Node's keepAliveTimeout would go on; it begins anew after the next answer.
    if (this.#hasServed) this.socket.setTimeout(0)
  }

  #serve(): void {
    this.#stage = 'between'
    this.#hasServed = true
    this.#base = this.socket.bytesRead
    this.deadline = 0
  }

  #close(now: number, bytes: number): void {
    this.#stage = 'closing'
    // Most connections without a byte are browsers' that opened one ahead.
    if (bytes === 0) return this.destroy()
    const error = readTimeout('head', { bytes, milliseconds: now - this.#startedAt })
    publish('tenantry:admission:refuse', { host: '', code: error.code, message: error.message })
    this.deadline = now + FAREWELL
    this.farewell(error)
  }
}

function onClose(this: net.Socket): void {
  ;(this as WatchedSocket)[kWatched]?.leave()
}

class Http1Connection extends Connection {
  /** The last ones: those before, where requests are pipelined, are over first. */
  #request: http.IncomingMessage | undefined
  #response: http.ServerResponse | undefined

  asked(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.#request = request
    this.#response = response
    this.deadline = 0
  }

  protected isForeign(): boolean {
    return !isParsed(this.socket)
  }

  protected isServing(): boolean {
    if (this.#request === undefined) return false
    // An answer may be out before its request is in: the body has a deadline of its own.
    // Not writableFinished: Node 24 does not say so of an answer whose request still comes.
    const { complete } = this.#request
    if (complete && this.#response?.writableEnded === true && this.#response.writableLength === 0) {
      this.#request = this.#response = undefined
    }
    return true
  }

  protected farewell(error: TenantryError): void {
    if (hasRequestLine(this.socket)) this.socket.end(rawErrorReply(error), () => this.destroy())
    else this.destroy()
  }

  protected destroy(): void {
    this.socket.destroy()
  }
}

/**
 * HTTP/2's frames hide where a head begins. What can be seen: the connection has
 * no stream, and what it sends becomes none. One that only sends frames nobody
 * tells us of is closed gently, as any idle one might be.
 */
class Http2Connection extends Connection {
  readonly #session: http2.ServerHttp2Session
  #streams = 0
  #isActive = false

  constructor(session: http2.ServerHttp2Session, socket: net.Socket, limits: ReadLimits, sweep: Sweep) {
    super(socket, limits, sweep)
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
