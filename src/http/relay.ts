import { TenantryError } from '../errors.ts'
import { publish, watched } from '../events.ts'
import { flagsOf, pieceLength } from '../wire/front-channel.ts'
import { connectionNumber, streamNumber, unbind } from './connections.ts'
import { destroyResponse, replyWithError } from './error-reply.ts'
import { isHttp2, parseResponseHead, writeResponseHead } from './response-head.ts'
import type http from 'node:http'
import type { HandlerDeadlines } from './handler-deadlines.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel, FrontStream, StreamListener } from '../wire/front-channel.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'

const kRelay = Symbol('tenantry.relay')

interface RelayedRequest extends http.IncomingMessage {
  [kRelay]?: Relay
}

interface RelayedResponse extends http.ServerResponse {
  [kRelay]?: Relay
}

/** What a relay needs besides the request itself. */
export interface RelayTask {
  readonly lease: Lease
  readonly mount: number
  readonly client: ClientFacts
  readonly requestId: number
  /** The client waits for 100 Continue and has not got it yet. */
  readonly expectsContinue: boolean
  readonly deadlines: HandlerDeadlines
}

/** How a request's body is announced, read from its raw headers without building the header object. */
export interface BodyFacts {
  readonly hasBody: boolean
  /** undefined when it is chunked. */
  readonly length: number | undefined
}

/**
 * One request on its way through the relay, seen from the front: its head and
 * body go into the context as credit allows, the answer comes back and goes to
 * the client as fast as the client reads it.
 */
export class Relay implements StreamListener {
  readonly startedAt: number = performance.now()
  readonly #req: RelayedRequest
  readonly #res: RelayedResponse
  readonly #task: RelayTask
  readonly #stream: FrontStream
  readonly #channel: FrontChannel
  readonly #ownConnection: number | undefined
  readonly #deadline: number
  #bodyBytes = 0
  #unwritten = 0
  #headWritten = false
  #over = false

  constructor(req: http.IncomingMessage, res: http.ServerResponse, body: BodyFacts, task: RelayTask) {
    this.#req = req
    this.#res = res
    this.#task = task
    const { channel } = task.lease.context
    this.#channel = channel
    const http2 = isHttp2(res)
    const connection = http2 ? streamNumber(req, channel, task.client) : connectionNumber(req, channel, task.client)
    if (http2) this.#ownConnection = connection
    this.#stream = channel.open(
      {
        connection,
        method: req.method as string,
        url: req.url as string,
        rawHeaders: req.rawHeaders,
        flags: flagsOf(req.httpVersionMinor === 1 || http2, res.shouldKeepAlive, false, task.expectsContinue),
        mount: task.mount,
        end: !body.hasBody,
      },
      this,
    )
    this.#res[kRelay] = this
    res.on('close', onClose)
    this.#deadline = task.deadlines.add(this)
    if (body.hasBody) {
      this.#req[kRelay] = this
      req.on('data', onData)
      req.on('end', onEnd)
    }
    if (watched('tenantry:request:start')) publish('tenantry:request:start', this.#facts())
  }

  get handlerTimeout(): number {
    return this.#task.lease.limits.handlerTimeout
  }

  /** The application has not begun its answer in time: it is told first, then the client. */
  handlerTimedOut(): void {
    const { label, limits } = this.#task.lease
    const message = `The application of '${label}' did not begin its answer within handlerTimeout (${limits.handlerTimeout} ms)`
    this.#giveUp('timeout', new TenantryError('ERR_HANDLER_TIMEOUT', message, { label }))
  }

  // What the client does.

  bodyData(chunk: Uint8Array): void {
    const { bodyLimit } = this.#task.lease.limits
    this.#bodyBytes += chunk.byteLength
    if (bodyLimit > 0 && this.#bodyBytes > bodyLimit) {
      this.#giveUp('body-limit', bodyTooLarge(bodyLimit, this.#task.lease.label))
      return
    }
    if (!this.#stream.write(chunk)) this.#req.pause()
  }

  bodyEnd(): void {
    const { rawTrailers } = this.#req
    this.#stream.end(rawTrailers.length > 0 ? rawTrailers : undefined)
  }

  /** 'close' of the response: after its end, or because the client left. */
  closed(): void {
    if (this.#over) return
    this.#stream.reset('client-gone')
    if (this.#res.req.httpVersionMajor === 1) unbind(this.#req)
    this.#fail(new TenantryError('ERR_CLIENT_GONE', 'The client closed the connection before its answer was complete'), true)
  }

  /** The client takes data again. */
  drained(): void {
    const bytes = this.#unwritten
    this.#unwritten = 0
    if (bytes > 0) this.#stream.consumed(bytes)
  }

  // What the context says.

  onHead(text: string, piece: Piece | undefined, end: boolean): void {
    const head = parseResponseHead(text)
    if (head === undefined) return this.#violation('a response head that is none')
    this.#task.deadlines.delete(this.#deadline)
    try {
      writeResponseHead(this.#res, head)
    } catch (cause) {
      return this.#violation('a response head with invalid fields', cause)
    }
    this.#headWritten = true
    if (piece !== undefined) this.onData(piece, end)
    else if (end) this.onEnd(undefined)
    else this.#res.flushHeaders()
  }

  onData(piece: Piece, end: boolean): void {
    const res = this.#res
    if (end) {
      this.#finish()
      res.end(piece)
      return
    }
    const bytes = pieceLength(piece)
    if (res.write(piece)) {
      this.#stream.consumed(bytes)
    } else {
      if (this.#unwritten === 0) res.once('drain', onDrain)
      this.#unwritten += bytes
    }
  }

  onEnd(trailers: string | undefined): void {
    if (trailers !== undefined) this.#addTrailers(trailers)
    this.#finish()
    this.#res.end()
  }

  onInfo(text: string): void {
    const head = parseResponseHead(text)
    if (head === undefined || head.status >= 200) return this.#violation('an informational head that is none')
    try {
      if (head.status === 100) this.#res.writeContinue()
      else if (head.status === 102) this.#res.writeProcessing()
      else if (head.status === 103) this.#res.writeEarlyHints(collect(head.headers))
    } catch {
      // A hint that node:http refuses is dropped: it is only a hint.
    }
  }

  onWritable(): void {
    this.#req.resume()
  }

  onReset(_code: ResetCode): void {
    if (this.#over) {
      // After the answer's end: the rest of the request is not wanted.
      this.#stopBody()
      return
    }
    const { label } = this.#task.lease
    unbind(this.#req)
    const error = new TenantryError('ERR_CONTEXT_EXITED', `The application of '${label}' destroyed the connection`, { label })
    this.#fail(error, true)
    // What node:http's clients see: a connection that breaks off.
    destroyResponse(this.#res)
  }

  onFailure(error: TenantryError): void {
    if (this.#over) {
      this.#stopBody()
      return
    }
    this.#fail(error, this.#headWritten)
    replyWithError(this.#req, this.#res, error)
  }

  #addTrailers(text: string): void {
    const trailers: [string, string][] = []
    for (const line of text.split('\r\n')) {
      const colon = line.indexOf(': ')
      if (colon > 0) trailers.push([line.slice(0, colon), line.slice(colon + 2)])
    }
    try {
      this.#res.addTrailers(trailers)
    } catch {
      // A trailer that node:http refuses is dropped, as the application's own node:http would have thrown.
    }
  }

  #violation(what: string, cause?: unknown): void {
    const { label, context } = this.#task.lease
    const error = new TenantryError('ERR_PROTOCOL', `The context of '${label}' sent ${what}`, { label, cause })
    context.terminate('protocol', error).catch(() => {})
  }

  /** Ends the exchange from our side, with an error for the client. */
  #giveUp(code: ResetCode, error: TenantryError): void {
    if (this.#over) return
    this.#stream.reset(code)
    unbind(this.#req)
    this.#fail(error, this.#headWritten)
    replyWithError(this.#req, this.#res, error)
  }

  #finish(): void {
    this.#settle(true)
    if (!watched('tenantry:request:finish')) return
    const responseTime = performance.now() - this.startedAt
    publish('tenantry:request:finish', { ...this.#facts(), statusCode: this.#res.statusCode, responseTime })
  }

  #fail(error: TenantryError, truncated: boolean): void {
    this.#settle(this.#headWritten)
    this.#stopBody()
    if (!watched('tenantry:request:error')) return
    publish('tenantry:request:error', { ...this.#facts(), code: error.code, truncated, error })
  }

  #settle(served: boolean): void {
    this.#over = true
    this.#task.deadlines.delete(this.#deadline)
    this.#task.lease.release(served)
    if (this.#ownConnection !== undefined) this.#channel.disconnect(this.#ownConnection)
  }

  /** Lets node:http throw the rest of the body away, so that the connection can be used again. */
  #stopBody(): void {
    const req = this.#req
    if (req[kRelay] === undefined) return
    req.off('data', onData)
    req.off('end', onEnd)
    req.resume()
  }

  #facts(): { label: string; contextId: number; requestId: number; method: string } {
    const { lease, requestId } = this.#task
    return { label: lease.label, contextId: lease.context.id, requestId, method: this.#req.method as string }
  }
}

export function bodyTooLarge(bodyLimit: number, label: string): TenantryError {
  return new TenantryError('ERR_BODY_TOO_LARGE', `The request body is larger than bodyLimit (${bodyLimit} bytes)`, { label })
}

/** One pass over the raw headers; nothing is allocated for a request without a body. */
export function readBodyFacts(rawHeaders: readonly string[]): BodyFacts {
  let length: number | undefined
  let chunked = false
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 14 && name.toLowerCase() === 'content-length') length = Number(rawHeaders[at + 1])
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') chunked = true
  }
  if (!chunked && (length === undefined || length === 0)) return NO_BODY
  return { hasBody: true, length: chunked ? undefined : length }
}

const NO_BODY: BodyFacts = { hasBody: false, length: undefined }

function collect(headers: readonly string[]): Record<string, string | string[]> {
  const collected: Record<string, string | string[]> = {}
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase()
    const before = collected[name]
    const value = headers[at + 1] as string
    collected[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return collected
}

function onClose(this: RelayedResponse): void {
  this[kRelay]?.closed()
}

function onDrain(this: RelayedResponse): void {
  this[kRelay]?.drained()
}

function onData(this: RelayedRequest, chunk: Uint8Array): void {
  this[kRelay]?.bodyData(chunk)
}

function onEnd(this: RelayedRequest): void {
  this[kRelay]?.bodyEnd()
}
