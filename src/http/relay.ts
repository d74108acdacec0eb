import { TenantryError } from '../errors.ts'
import { requestError, requestFinish, requestStart } from '../events.ts'
import { flagsOf, pieceLength } from '../wire/front-channel.ts'
import { MAX_PIECE } from '../wire/frames.ts'
import { bodyTooLarge } from './body-facts.ts'
import { connectionNumber, streamNumber, unbind, unwatchClose, watchClose } from './connections.ts'
import { destroyResponse, replyWithError } from './error-reply.ts'
import { endWhole } from './whole-answer.ts'
import { fieldsOf, isHttp2, readResponseHead, writeResponseHead } from './response-head.ts'
import http from 'node:http'
import type { BodyFacts } from './body-facts.ts'
import type { CloseWatcher } from './connections.ts'
import type { HandlerDeadlines } from './handler-deadlines.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel, FrontStream, StreamListener } from '../wire/front-channel.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'

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

// oxlint-disable-next-line typescript/unbound-method -- compared, never called
const { write } = http.ServerResponse.prototype

/**
 * One request on its way through the relay, seen from the front: its head and
 * body go into the context as credit allows, the answer comes back and goes to
 * the client as fast as the client reads it.
 */
export class Relay implements StreamListener, CloseWatcher {
  readonly startedAt: number
  readonly #req: http.IncomingMessage
  readonly #res: http.ServerResponse
  readonly #task: RelayTask
  readonly #channel: FrontChannel
  readonly #stream: FrontStream
  readonly #ownConnection: number | undefined
  readonly #deadline: number
  #stopBody: (() => void) | undefined
  #bodyBytes = 0
  #unwritten = 0
  /** Bytes that Content-Length still promises; undefined where it promises none. */
  #promised: number | undefined
  /**
   *     waiting → answering → over           the answer and the request are complete
   *     answering → uploading → over         the answer is, the request's body goes on
   */
  #state: 'waiting' | 'answering' | 'uploading' | 'over' = 'waiting'

  constructor(req: http.IncomingMessage, res: http.ServerResponse, body: BodyFacts, task: RelayTask) {
    this.#req = req
    this.#res = res
    this.#task = task
    this.startedAt = task.deadlines.clock.now()
    const { channel } = task.lease.context
    this.#channel = channel
    const http2 = isHttp2(res)
    const shared = http2 ? undefined : connectionNumber(req, channel, task.client)
    const connection = shared ?? streamNumber(req, channel, task.client)
    if (shared === undefined) this.#ownConnection = connection
    this.#stream = channel.open(
      {
        connection,
        method: req.method as string,
        url: req.url as string,
        rawHeaders: http2 ? asHttp1(req) : req.rawHeaders,
        flags: flagsOf(req.httpVersionMinor === 1 || http2, res.shouldKeepAlive, false, task.expectsContinue),
        mount: task.mount,
        end: !body.hasBody,
      },
      this,
    )
    if (shared === undefined) res.on('close', () => this.closed())
    else watchClose(req, this)
    this.#deadline = task.deadlines.add(this)
    if (body.hasBody) this.#readBody()
    if (requestStart.watched) requestStart.publish(this.#facts())
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

  #readBody(): void {
    const req = this.#req
    const onData = (chunk: Uint8Array): void => this.#bodyData(chunk)
    const onEnd = (): void => this.#bodyEnd()
    req.on('data', onData)
    req.on('end', onEnd)
    // Lets node:http throw the rest of the body away, so that the connection can be used again.
    this.#stopBody = () => {
      req.off('data', onData)
      req.off('end', onEnd)
      req.resume()
    }
  }

  #bodyData(chunk: Uint8Array): void {
    const { bodyLimit } = this.#task.lease.limits
    this.#bodyBytes += chunk.byteLength
    if (bodyLimit > 0 && this.#bodyBytes > bodyLimit) {
      this.#giveUp('body-limit', bodyTooLarge(bodyLimit, this.#task.lease.label))
      return
    }
    // node:http reads each chunk into memory of its own; unless somebody listens beside us, it can move.
    const own = this.#req.listenerCount('data') === 1
    if (!this.#stream.write(chunk, own)) this.#req.pause()
  }

  #bodyEnd(): void {
    const { rawTrailers } = this.#req
    this.#stream.end(rawTrailers.length > 0 ? rawTrailers : undefined)
    if (this.#state === 'uploading') this.#settle()
  }

  /** 'close' of the response: after its end, or because the client left. */
  closed(): void {
    if (this.#state === 'over') return
    this.#stream.reset('client-gone')
    unbind(this.#req, this)
    if (this.#state === 'uploading') return this.#settle()
    this.#fail(new TenantryError('ERR_CLIENT_GONE', 'The client closed the connection before its answer was complete'), true)
  }

  /** The client takes data again. */
  #drained(): void {
    const bytes = this.#unwritten
    this.#unwritten = 0
    if (bytes > 0) this.#stream.consumed(bytes)
  }

  // What the context says.

  onHead(text: string, piece: Piece | undefined, end: boolean): void {
    const head = readResponseHead(text)
    if (head === undefined) return this.#violation('a response head that is none')
    if (head.ambiguous) return this.#giveUp('destroyed', this.#broken('framed its answer in two ways'))
    this.#task.deadlines.delete(this.#deadline)
    if (this.#res.headersSent) return this.#answeredElsewhere()
    try {
      writeResponseHead(this.#res, head)
    } catch (cause) {
      return this.#violation('a response head with invalid fields', cause)
    }
    this.#state = 'answering'
    if (this.#req.method !== 'HEAD' && head.status !== 204 && head.status !== 304) this.#promised = head.length
    if (piece !== undefined) this.onData(piece, end)
    else if (end) this.onEnd(undefined)
    else this.#res.flushHeaders()
  }

  onData(piece: Piece, end: boolean): void {
    const res = this.#res
    const bytes = pieceLength(piece)
    if (this.#promised !== undefined) {
      this.#promised -= bytes
      if (this.#promised < 0 || (end && this.#promised > 0)) return this.#breakPromise()
    }
    if (end) {
      this.#finish()
      if (typeof piece !== 'string' || !endWhole(res, piece)) res.end(piece)
    } else if (this.#write(piece, bytes)) {
      this.#stream.consumed(bytes)
    } else {
      if (this.#unwritten === 0) res.once('drain', () => this.#drained())
      this.#unwritten += bytes
    }
  }

  /** A full piece's memory goes back once it is written; a middleware that has taken `write` over may keep its own copy of it. */
  #write(piece: Piece, bytes: number): boolean {
    const res = this.#res
    if (bytes !== MAX_PIECE || typeof piece === 'string' || res.write !== write) return res.write(piece)
    return res.write(piece, () => this.#stream.giveBack(piece.buffer as ArrayBuffer))
  }

  onEnd(trailers: string | undefined): void {
    if (this.#promised !== undefined && this.#promised > 0) return this.#breakPromise()
    if (trailers !== undefined) this.#addTrailers(trailers)
    this.#finish()
    this.#res.end()
  }

  onInfo(text: string): void {
    const head = readResponseHead(text)
    if (head === undefined || head.status >= 200) return this.#violation('an informational head that is none')
    try {
      if (head.status === 100) this.#res.writeContinue()
      else if (head.status === 102) this.#res.writeProcessing()
      else if (head.status === 103) this.#res.writeEarlyHints(collect(fieldsOf(head)))
    } catch {
      // A hint that node:http refuses is dropped: it is only a hint.
    }
  }

  onWritable(): void {
    this.#req.resume()
  }

  onReset(_code: ResetCode): void {
    // After the answer's end: the rest of the request is not wanted.
    if (this.#state === 'uploading') return this.#settle()
    if (this.#state === 'over') return
    const { label } = this.#task.lease
    unbind(this.#req, this)
    const error = new TenantryError('ERR_CONTEXT_EXITED', `The application of '${label}' destroyed the connection`, { label })
    this.#fail(error, true)
    // What node:http's clients see: a connection that breaks off.
    destroyResponse(this.#res)
  }

  onFailure(error: TenantryError): void {
    if (this.#state === 'uploading') return this.#settle()
    if (this.#state === 'over') return
    this.#fail(error, this.#state === 'answering')
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
    // A head whose end came with it has left the channel already, so the channel cannot fail it.
    this.onFailure(error)
  }

  /** An answer that is not as long as it said: a client must not take what follows for a part of it, or the other way. */
  #breakPromise(): void {
    const error = this.#broken('sent another number of bytes than its Content-Length says')
    this.#stream.reset('destroyed')
    unbind(this.#req, this)
    this.#fail(error, true)
    destroyResponse(this.#res)
  }

  #broken(what: string): TenantryError {
    const { label } = this.#task.lease
    return new TenantryError('ERR_PROTOCOL', `The application of '${label}' ${what}`, { label })
  }

  /** An outer middleware was faster, such as one with a timeout of its own: its answer stands. */
  #answeredElsewhere(): void {
    const { label } = this.#task.lease
    this.#stream.reset('client-gone')
    unbind(this.#req, this)
    this.#fail(new TenantryError('ERR_STATE', `A request for '${label}' was answered by somebody else first`, { label }), false)
  }

  /** Ends the exchange from our side, with an error for the client. */
  #giveUp(code: ResetCode, error: TenantryError): void {
    if (this.#state === 'over') return
    this.#stream.reset(code)
    unbind(this.#req, this)
    if (this.#state === 'uploading') return this.#settle()
    this.#fail(error, this.#state === 'answering')
    replyWithError(this.#req, this.#res, error)
  }

  /** The answer is complete; the request may still be on its way, to an application that reads it. */
  #finish(): void {
    if (this.#stream.requestEnded) this.#settle()
    else this.#state = 'uploading'
    if (!requestFinish.watched) return
    const responseTime = this.#task.deadlines.clock.now() - this.startedAt
    requestFinish.publish({ ...this.#facts(), statusCode: this.#res.statusCode, responseTime })
  }

  #fail(error: TenantryError, truncated: boolean): void {
    this.#settle()
    if (!requestError.watched) return
    requestError.publish({ ...this.#facts(), code: error.code, truncated, error })
  }

  /** Nothing of this request is left: the lease goes back. */
  #settle(): void {
    const served = this.#state !== 'waiting'
    this.#state = 'over'
    if (!this.#stream.requestEnded) this.#stopBody?.()
    unwatchClose(this.#req, this)
    this.#task.deadlines.delete(this.#deadline)
    this.#task.lease.release(served)
    if (this.#ownConnection !== undefined) this.#channel.disconnect(this.#ownConnection)
  }

  #facts(): { label: string; contextId: number; requestId: number; method: string } {
    const { lease, requestId } = this.#task
    return { label: lease.label, contextId: lease.context.id, requestId, method: this.#req.method as string }
  }
}

/** An HTTP/2 head as an application behind HTTP/1 reads it: no pseudo-fields, and the authority as Host. */
function asHttp1(req: http.IncomingMessage): string[] {
  const { authority } = req as { authority?: string }
  const fields: string[] = []
  let hasHost = false
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    const name = req.rawHeaders[at] as string
    if (name.startsWith(':')) continue
    hasHost ||= name === 'host'
    fields.push(name, req.rawHeaders[at + 1] as string)
  }
  return hasHost || authority === undefined ? fields : ['host', authority, ...fields]
}

/** The fields of 103 Early Hints as `writeEarlyHints` takes them: links one by one. */
function collect(headers: readonly string[]): Record<string, string | string[]> {
  const collected: Record<string, string | string[]> = {}
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase()
    const before = collected[name]
    const value = headers[at + 1] as string
    if (name === 'link') {
      collected[name] = [...(Array.isArray(before) ? before : []), ...value.split(/,\s*(?=<)/)]
      continue
    }
    collected[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return collected
}
