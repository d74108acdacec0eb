import { Buffer } from 'node:buffer'
import { Flag, HeadFlag } from '../wire/frames.ts'
import { countConnection } from './listen.ts'
import { connectionReset, kNeedDrain, nodeHttp, originalFinish, originalStoreHeader, originalWriteRaw } from './node-internals.ts'
import type http from 'node:http'
import type { ClientConnection, ConnectionOwner } from './connection.ts'
import type { RequestInternals, ResponseInternals } from './node-internals.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'
import type { RequestHead, RequestListener, TenantStream } from '../wire/tenant-channel.ts'

/** Links a request and a response to their exchange without a closure for each. */
const kExchange = Symbol('tenantry.exchange')

interface Request extends RequestInternals {
  [kExchange]: Exchange
}

interface Response extends ResponseInternals {
  [kExchange]: Exchange
}

/** Totals that the context writes to its scoreboard. */
export interface ExchangeTotals {
  started(): void
  ended(bytesIn: number, bytesOut: number): void
}

/**
 * One request and its response inside a context: a real IncomingMessage and a
 * real ServerResponse on the client's connection, with their last step, the
 * write to the socket, replaced by frames.
 *
 * The replaced methods are own properties, because frameworks put their own
 * prototypes on both objects (Express does, for each request).
 */
export class Exchange implements RequestListener, ConnectionOwner {
  readonly req: http.IncomingMessage
  readonly res: http.ServerResponse
  readonly connection: ClientConnection
  readonly #stream: TenantStream
  readonly #totals: ExchangeTotals
  readonly #req: Request
  readonly #res: Response
  #bytesIn = 0
  #bytesOut = 0
  #unread = 0
  #endPending = false
  #chunked = false
  #over = false
  #server: http.Server | undefined

  constructor(
    head: RequestHead,
    stream: TenantStream,
    connection: ClientConnection,
    totals: ExchangeTotals,
  ) {
    this.#stream = stream
    this.#totals = totals
    this.connection = connection
    const req = new nodeHttp.IncomingMessage(connection) as Request
    req[kExchange] = this
    req._read = readBody
    req.httpVersionMajor = 1
    req.httpVersionMinor = head.flags & Flag.HTTP_1_1 ? 1 : 0
    req.httpVersion = head.flags & Flag.HTTP_1_1 ? '1.1' : '1.0'
    req._addHeaderLines(head.rawHeaders, head.rawHeaders.length)
    req.method = head.method
    req.url = head.url
    const res = new nodeHttp.ServerResponse(req) as unknown as Response
    res[kExchange] = this
    res._storeHeader = storeHeader
    res._send = send
    res._writeRaw = writeRaw
    res._finish = finish
    res._keepAliveTimeout = connection.facts.keepAliveTimeout
    if (connection.facts.maxRequestsPerSocket > 0) {
      res._maxRequestsPerSocket = connection.facts.maxRequestsPerSocket
      res.maxRequestsOnConnectionReached = (head.flags & Flag.LAST_REQUEST) !== 0
    }
    res.shouldKeepAlive = (head.flags & Flag.KEEP_ALIVE) !== 0
    this.req = this.#req = req
    this.res = this.#res = res
    connection.owner = this
    // assignSocket() without its listener on the connection: #abort() does what that one does.
    res.socket = connection
    connection._httpMessage = res
    res.on('finish', onFinish)
    stream.listener = this
    totals.started()
  }

  /** After the application has been called: a request without a body is complete, as behind node:http. */
  begin(head: RequestHead): void {
    if (head.hasBody || this.#req.complete) return
    this.#req.complete = true
    // Its end is pushed when somebody reads: most applications never look, and an end that
    // nobody hears costs four ticks (1 µs, measured).
    if (this.#req._consuming) this.#req.push(null)
    else this.#endPending = true
  }

  /** Counts as one of the server's connections until it is over, so that `server.close()` waits for it. */
  countOn(server: http.Server): void {
    this.#server = server
    countConnection(server, 1)
  }

  // What the front says.

  onData(piece: Piece): void {
    this.connection.active()
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    this.#bytesIn += bytes.byteLength
    this.#unread += bytes.byteLength
    if (!this.#req.readableEnded && !this.#req.destroyed) this.#req.push(bytes)
  }

  onEnd(rawTrailers: readonly string[] | undefined): void {
    const req = this.#req
    if (req.complete) return
    req.complete = true
    if (rawTrailers !== undefined) req._addHeaderLines(rawTrailers, rawTrailers.length)
    req.push(null)
  }

  onReset(code: ResetCode): void {
    this.connection.owner = undefined
    this.connection.closeFromFront()
    this.#abort(this.#clientError(code))
  }

  onDrain(): void {
    const res = this.#res as Response & Record<symbol, unknown>
    res.outputSize = 0
    if (kNeedDrain !== undefined && !res.finished && res[kNeedDrain] === true) {
      res[kNeedDrain] = false
      res.emit('drain')
    }
  }

  // What the application does.

  /** req.destroy(), res.destroy() and socket.destroy() all arrive here: the client sees a connection that breaks off. */
  onDestroy(): void {
    this.#stream.reset('destroyed')
    this.#abort(connectionReset())
  }

  readMore(): void {
    const read = this.#unread
    this.#unread = 0
    if (read > 0) this.#stream.consumed(read)
    this.#pushEnd()
  }

  /** The head is made by node:http itself; only the chunked framing is the front's. */
  headMade(): void {
    this.#chunked = this.#res.chunkedEncoding
    this.#res.chunkedEncoding = false
  }

  /** `data` and `encoding` are what node:http sends it with, which decides about its own encoding. */
  sendHead(data: string | Uint8Array, encoding: unknown): void {
    const res = this.#res
    res._headerSent = true
    // The size of a chunk goes out as latin-1, and takes the head along.
    const isText = typeof data === 'string' && (encoding === 'utf8' || !encoding) && !(this.#chunked && data.length > 0)
    this.#stream.head(res._header as string, (res._last ? HeadFlag.LAST : 0) | (isText ? HeadFlag.UTF8 : 0))
  }

  sendBody(data: string | Uint8Array, encoding: unknown, callback: (() => void) | undefined): boolean {
    this.connection.active()
    const piece = typeof data !== 'string' || isUtf8(encoding) ? data : Buffer.from(data, encoding as BufferEncoding)
    this.#bytesOut += typeof piece === 'string' ? piece.length : piece.byteLength
    const more = this.#stream.write(piece, callback)
    this.#res.outputSize = this.#stream.waitingBytes
    return more
  }

  sendInfo(text: string): void {
    // Too late for a hint: behind node:http it would stand in the middle of the body.
    if (this.#res._headerSent) return
    this.#stream.info(text)
  }

  sendEnd(): void {
    const trailer = this.#res._trailer
    this.#stream.end(trailer === '' ? undefined : trailer)
  }

  finished(): void {
    const req = this.#req
    if (this.#endPending && req._eventsCount === 0) {
      markEnded(req._readableState)
    } else if (!req._consuming && !req._readableState.resumeScheduled) {
      this.#pushEnd()
      req._dump()
      // Nobody will read the rest: stop the upload instead of draining it.
      if (!req.complete) {
        this.#stream.reset('unread')
        this.onEnd(undefined)
      }
    }
    this.connection.owner = undefined
    // A timeout was this request's: it must not meet the next one on the connection.
    if (this.connection.timeout) this.connection.setTimeout(0)
    this.connection._httpMessage = null
    this.#res.socket = null
    process.nextTick(emitClose, this.#res)
    this.#end()
  }

  #pushEnd(): void {
    if (!this.#endPending) return
    this.#endPending = false
    this.#req.push(null)
  }

  get waitingBytes(): number {
    return this.#stream.waitingBytes
  }

  get gone(): boolean {
    return this.connection.destroyed
  }

  #abort(error: Error): void {
    if (this.#over) return
    this.#req.destroy(error)
    process.nextTick(emitClose, this.#res)
    this.#end()
  }

  /** A client that left is 'aborted' with ECONNRESET; one that is too slow says how far it came. */
  #clientError(code: ResetCode): Error {
    if (code !== 'body-timeout') return connectionReset()
    const announced = this.#req.headers['content-length']
    return readTimeout(this.#bytesIn, announced === undefined ? undefined : Number(announced))
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    if (this.#server !== undefined) countConnection(this.#server, -1)
    this.#totals.ended(this.#bytesIn, this.#bytesOut)
  }
}

/** By the server's `bodyTimeout`; `bytesExpected` is undefined for a chunked body. */
export function readTimeout(bytesReceived: number, bytesExpected: number | undefined): Error {
  const of = bytesExpected === undefined ? '' : ` of ${bytesExpected}`
  const error = new Error(`The body came too slowly: ${bytesReceived}${of} bytes were received`)
  return Object.assign(error, { name: 'ReadTimeoutError', code: 'ERR_READ_TIMEOUT', bytesReceived, bytesExpected })
}

/** What a request is after its end, whether or not anybody heard of it. */
function markEnded(state: RequestInternals['_readableState']): void {
  // One by one: on Node 20 they are accessors, which Object.assign calls the slow way (0.2 µs, measured).
  state.ended = true
  state.endEmitted = true
  state.destroyed = true
  state.closed = true
  state.closeEmitted = true
}

function readBody(this: Request): void {
  if (!this._consuming) {
    this._readableState.readingMore = false
    this._consuming = true
  }
  this[kExchange].readMore()
}

function storeHeader(this: Response, firstLine: string, headers: unknown): void {
  originalStoreHeader.call(this, firstLine, headers)
  this[kExchange].headMade()
}

function send(this: Response, data: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean {
  const exchange = this[kExchange]
  // What a write to a destroyed socket does differs between Nodes: each does its own.
  if (exchange.gone) return originalWriteRaw.call(this, data, encoding, callback)
  if (!this._headerSent && this._header !== null) exchange.sendHead(data, encoding)
  const done = (typeof encoding === 'function' ? encoding : callback) as (() => void) | null | undefined
  if (data.length === 0 && this.outputSize === 0) {
    if (typeof done === 'function') process.nextTick(done)
    return true
  }
  return exchange.sendBody(data, encoding, done ?? undefined)
}

/** Called by node:http for 1xx heads only, once `_send` is ours. */
function writeRaw(this: Response, data: string | Uint8Array, _encoding?: unknown, callback?: unknown): boolean {
  this[kExchange].sendInfo(typeof data === 'string' ? data : Buffer.from(data).toString('latin1'))
  if (typeof callback === 'function') process.nextTick(callback)
  return true
}

function finish(this: Response): void {
  originalFinish.call(this)
  this[kExchange].sendEnd()
}

function onFinish(this: http.ServerResponse): void {
  ;(this as Response)[kExchange].finished()
}

function emitClose(res: Response): void {
  if (res._closed) return
  res.destroyed = true
  res._closed = true
  res.emit('close')
}

function isUtf8(encoding: unknown): boolean {
  return encoding === undefined || encoding === null || encoding === 'utf8' || encoding === 'utf-8' || typeof encoding === 'function'
}
