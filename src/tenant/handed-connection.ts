import { bodyTooLarge } from '../connection/body-facts.ts'
import { destroyResponse, rawErrorReply } from '../connection/error-reply.ts'
import { Http1Heads } from '../connection/head-watch.ts'
import { readTimeout } from '../connection/read-deadline.ts'
import { TenantryError } from '../errors.ts'
import { Cell } from '../wire/scoreboard.ts'
import { readTimeout as lateBody } from './exchange.ts'
import { HandedBody } from './handed-body.ts'
import { countConnection } from './listen.ts'
import { connectionReset, nodeHttp } from './node-internals.ts'
import type http from 'node:http'
import type { ReadLimits } from '../connection/read-deadline.ts'
import type { SendDeadlines, SendPace } from '../connection/send-deadlines.ts'
import type { Sweep, Watched } from '../connection/sweep.ts'
import type { HandedRefusal, RequestLimits } from '../wire/held.ts'
import type { Scoreboard } from '../wire/scoreboard.ts'
import type { ServedSocket } from './application.ts'
import type { ResponseInternals } from './node-internals.ts'

/** How long an answer of ours may take to leave. Milliseconds. */
const FAREWELL = 1000

const kHanded = Symbol('tenantry.handed')
const kSince = Symbol('tenantry.since')

/** What node:http keeps on a socket that it serves; the same names from Node 20 to 26. */
export interface HandedSocket extends ServedSocket {
  [kHanded]?: HandedConnection
  _httpMessage?: Response | null
  readonly _handle?: { readonly bytesWritten: number } | null
}

interface Response extends ResponseInternals {
  /** When it came, if others were before it on its connection. */
  [kSince]?: number
}

/** What the handed connections of a context share. */
export interface Handing {
  readonly label: string
  readonly sweep: Sweep
  readonly sends: SendDeadlines
  readonly headPace: ReadLimits
  readonly bodyPace: ReadLimits
  readonly limits: RequestLimits
  readonly scoreboard: Scoreboard
  /** Each connection closes with its answer, an idle one at once. */
  readonly ending: boolean
  /** The head of an answer is out: its application can serve. Noticed for answers that take their time. */
  onBegun(): void
  /** A request that the application had is over; `isBegun`: its answer's beginning was told. */
  onEnd(isBegun: boolean): void
  onClose(): void
  refused(refusal: HandedRefusal): void
}

/** The connection that a socket is, if it was handed over. */
export function handedOf(socket: object): HandedConnection | undefined {
  return (socket as HandedSocket)[kHanded]
}

/**
 * One connection that this context serves itself. What is held to a time is looked
 * at in one sweep over all of them, ten times a second, so that a request costs what
 * it costs behind node:http, and a few additions.
 */
export class HandedConnection implements Watched {
  readonly socket: HandedSocket
  /** Looked at in each sweep. */
  readonly deadline = 0
  place = -1
  /** Requests that wait for a slot in the context. */
  queued = 0
  /** How its heads come, where somebody minds. */
  readonly heads: Http1Heads | undefined
  readonly #handing: Handing
  readonly #hosts: readonly string[]
  /** Requests that the application has. */
  #inFlight = 0
  /** Answers of ours that are not out. */
  #refused: Set<http.ServerResponse> | undefined
  /** The application's, which waits for those. */
  #server: http.Server | undefined
  readonly #isSecure: boolean
  #isTunnel = false
  /** Closes with an answer of ours, or without one. */
  #isGivenUp = false
  #isClosed = false
  #lookedAt: number
  /** The answer whose turn it is, as the last sweep found it, and since when the application could have begun it. */
  #answer: Response | undefined
  #since = 0
  /** Of which it was told that it has begun. */
  #counted: Response | undefined
  #body: HandedBody | undefined
  #sending: SendPace | undefined
  /** Bytes received when a sweep found it without a request. */
  #idleAt = -1
  /** Bytes sent when the last answer was out. */
  #answeredTo = 0
  #bytesIn = 0
  #bytesOut = 0
  /** Bytes that were received before the socket was ours. */
  readonly #before: number

  constructor(socket: HandedSocket, before: number, hosts: readonly string[], handing: Handing) {
    this.socket = socket
    this.#isSecure = (socket as { readonly encrypted?: boolean }).encrypted === true
    this.#before = before
    this.#hosts = hosts
    this.#handing = handing
    this.#lookedAt = handing.sweep.clock.now()
    socket[kHanded] = this
    socket.on('close', onClose)
    handing.sweep.add(this)
    const { headPace, sweep } = handing
    if (headPace.timeout > 0) this.heads = new Http1Heads(socket, headPace, sweep, (error) => this.report(error, 'refused'))
  }

  /** Whether a Host field leads to this context's group on this connection. */
  knows(host: string): boolean {
    return this.#hosts.includes(host) || this.#hosts.includes(host.toLowerCase())
  }

  /** The application gets a request. */
  begin(res: http.ServerResponse, server: http.Server | undefined): void {
    this.#count(server)
    if (res.socket === null) (res as Response)[kSince] = this.#lookedAt
  }

  /** The application gets the connection itself. */
  upgrade(server: http.Server | undefined): void {
    this.#count(server)
  }

  /** The application never gets a request: we answer it, so that its end is nobody's. */
  refuse(res: http.ServerResponse): void {
    this.#refused ??= new Set()
    this.#refused.add(res)
  }

  /** It is no longer HTTP. */
  detach(): void {
    this.#isTunnel = true
    // node:http lets go of an upgraded socket: a client that resets it would be an uncaught exception.
    this.socket.on('error', ignoreError)
  }

  /** A body is announced; `length` is undefined where it is chunked. That of a refused request has no limit but its pace. */
  awaitBody(req: http.IncomingMessage, res: http.ServerResponse, length: number | undefined, bodyLimit: number): void {
    const { label, sweep } = this.#handing
    this.#body = new HandedBody(req, res, length, bodyLimit, sweep.clock.now(), () => {
      this.#giveUp(bodyTooLarge(bodyLimit, label), res)
    })
  }

  /** An answer of this connection is out. */
  answered(res: http.ServerResponse): void {
    if (this.#isClosed) return
    this.heads?.answered(res)
    if (this.#refused?.delete(res) !== true) this.#end(res)
    if (this.#isShort(res as Response)) this.#breakPromise(res)
    if (this.#handing.ending && this.#inFlight === 0 && this.queued === 0) this.socket.destroySoon()
  }

  /** Tells the front of a request that was not served, or not to the end. */
  report({ code, message }: TenantryError, outcome: HandedRefusal['outcome'], req?: http.IncomingMessage): void {
    const { method = '', headers } = req ?? {}
    const peer = this.socket.remoteAddress ?? ''
    this.#handing.refused({ code, message, host: headers?.host ?? '', peer, method, outcome })
  }

  due(now: number): void {
    this.#countBytes()
    this.#watchSending()
    if (!this.#isTunnel) {
      this.#watchBody(now)
      this.#watchAnswer(now)
      this.#watchIdle()
    }
    this.#lookedAt = now
  }

  /** The socket is closed. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#countBytes()
    this.#sending?.end()
    this.#handing.sweep.delete(this)
    const inFlight = this.#inFlight
    this.#inFlight = 0
    this.#uncount()
    for (let at = 0; at < inFlight; at++) this.#handing.onEnd(at === 0 && this.#counted !== undefined)
    this.#handing.onClose()
  }

  #end(res: http.ServerResponse): void {
    if (--this.#inFlight === 0) this.#uncount()
    const isCounted = res === this.#counted
    this.#counted = undefined
    this.#handing.onEnd(isCounted)
  }

  /**
   * Fewer bytes went out than Content-Length promised: node:http would let the client wait, and take the next answer for
   * the rest. More cannot be told from 1xx heads. TLS counts other bytes.
   */
  #isShort({ _contentLength: promised, _header: head, _hasBody: hasBody, chunkedEncoding }: Response): boolean {
    const bytesOut = bytesWritten(this.socket)
    const bytes = bytesOut - this.#answeredTo
    this.#answeredTo = bytesOut
    if (typeof promised !== 'number' || head === null || !hasBody || chunkedEncoding || this.#isSecure) return false
    return bytes < head.length + promised
  }

  #breakPromise(res: http.ServerResponse): void {
    const { label } = this.#handing
    const message = `The application of '${label}' sent fewer bytes than its Content-Length says`
    this.report(new TenantryError('ERR_PROTOCOL', message, { label }), 'truncated', res.req)
    this.socket.destroy()
  }

  #count(server: http.Server | undefined): void {
    if (this.#inFlight++ > 0 || server === undefined) return
    this.#server = server
    countConnection(server, 1)
  }

  #uncount(): void {
    if (this.#server !== undefined) countConnection(this.#server, -1)
    this.#server = undefined
  }

  #countBytes(): void {
    const { scoreboard } = this.#handing
    const bytesIn = this.socket.bytesRead + this.#before
    const bytesOut = this.socket.bytesWritten
    scoreboard.add(Cell.bytesIn, bytesIn - this.#bytesIn)
    scoreboard.add(Cell.bytesOut, bytesOut - this.#bytesOut)
    this.#bytesIn = bytesIn
    this.#bytesOut = bytesOut
  }

  #watchSending(): void {
    const { socket } = this
    if (socket.writableLength === 0) {
      this.#sending?.end()
      this.#sending = undefined
      return
    }
    const { label, sends } = this.#handing
    const onLate = (error: TenantryError): void => {
      this.report(error, 'truncated', this.socket._httpMessage?.req)
      this.#cut()
    }
    this.#sending ??= sends.watch({ label, out: socket, connection: socket, onLate })
  }

  #watchBody(now: number): void {
    const body = this.#body
    if (body === undefined) return
    if (body.req.complete) {
      this.#body = undefined
      return
    }
    const { bodyPace, label } = this.#handing
    if (bodyPace.timeout === 0) return
    if (!body.isLate(bodyPace, now, this.#lookedAt)) return
    this.#body = undefined
    if (body.isRest) {
      this.socket.destroy()
      return
    }
    const { bytes, length } = body
    const error = readTimeout('body', { bytes, length, milliseconds: body.elapsed(now), label })
    this.#giveUp(error, body.res, lateBody(bytes, length))
  }

  #watchAnswer(now: number): void {
    const answer = this.socket._httpMessage ?? undefined
    if (answer !== this.#answer) {
      this.#answer = answer
      this.#since = answer?.[kSince] ?? now
    }
    const { limits: { handlerTimeout }, label } = this.#handing
    if (answer?._headerSent === true && answer !== this.#counted && this.#refused?.has(answer) !== true) {
      this.#counted = answer
      this.#handing.onBegun()
    }
    if (answer === undefined || answer._headerSent || handlerTimeout === 0) return
    if (this.queued > 0) this.#since = now
    if (now - this.#since < handlerTimeout) return
    const message = `The application of '${label}' did not begin its answer within handlerTimeout (${handlerTimeout} ms)`
    this.#giveUp(new TenantryError('ERR_HANDLER_TIMEOUT', message, { label }), answer)
  }

  #watchIdle(): void {
    const { socket } = this
    const isIdle = this.#answer === undefined && this.#inFlight === 0 && socket.writableLength === 0
    if (this.#handing.ending) {
      if (this.#answer !== undefined) this.#answer.shouldKeepAlive = false
      // Not where bytes have come since the last look: they may be a request.
      else if (isIdle && this.#idleAt === this.#bytesIn) socket.destroySoon()
    }
    this.#idleAt = isIdle ? this.#bytesIn : -1
  }

  /** Ends a request that the application has: with our answer where that can still be one, and the connection with it. */
  #giveUp(error: TenantryError, res: http.ServerResponse, heard = connectionReset()): void {
    if (this.#isGivenUp) return
    this.#isGivenUp = true
    const { socket } = this
    const canAnswer = socket._httpMessage === res && !socket._httpMessage._headerSent && socket.writable
    this.report(error, canAnswer ? 'failed' : 'truncated', res.req)
    if (!canAnswer) {
      this.#cut()
      res.req.destroy(heard)
      return
    }
    // The application hears what it hears on the relay; after our answer, since the end of its request destroys the socket.
    const leave = (): void => {
      res.req.destroy(heard)
      socket.destroy()
    }
    socket.end(rawErrorReply(error, res.req), leave)
    socket.once('close', this.#handing.sweep.clock.after(FAREWELL, leave))
  }

  #cut(): void {
    const { socket } = this
    if (socket._httpMessage) destroyResponse(socket._httpMessage)
    else socket.destroy()
  }
}

const { prototype } = nodeHttp.ServerResponse
const { detachSocket } = prototype

// Not an own property of each: that gives answers a shape of their own, which node:http's code then meets besides the
// other. Not a subclass: frameworks put their own prototypes on answers, which inherit from this one.
prototype.detachSocket = function (this: http.ServerResponse, socket: HandedSocket): void {
  detachSocket.call(this, socket)
  socket[kHanded]?.answered(this)
}

/** As the socket's own getter says, which looks at the queue of writes also where that is empty: half a percent of hello world. */
function bytesWritten(socket: HandedSocket): number {
  return (socket.writableLength === 0 ? socket._handle?.bytesWritten : undefined) ?? socket.bytesWritten
}

function onClose(this: HandedSocket): void {
  this[kHanded]?.close()
}

function ignoreError(): void {}
