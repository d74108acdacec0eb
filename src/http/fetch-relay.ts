import { TenantryError } from '../errors.ts'
import { requestError, requestFinish, requestStart } from '../events.ts'
import { flagsOf, pieceLength } from '../wire/front-channel.ts'
import { bodyTooLarge } from './body-facts.ts'
import { streamNumber } from './connections.ts'
import { responseOf } from './error-reply.ts'
import { dropHopByHop, fieldsOf, readResponseHead } from './response-head.ts'
import type { HandlerDeadlines } from './handler-deadlines.ts'
import type { FetchSource, Settle } from './fetch.ts'
import type { ResponseHead } from './response-head.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel, FrontStream, StreamListener } from '../wire/front-channel.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'

export interface FetchTask {
  readonly lease: Lease
  readonly mount: number
  readonly client: ClientFacts
  readonly requestId: number
  readonly deadlines: HandlerDeadlines
}

/** Statuses whose Response may have no body (Fetch standard, "null body status"). */
const NULL_BODY = new Set([204, 205, 304])

const encoder = new TextEncoder()

/**
 * What Relay is for a server's request, for one of `runtime.fetch`: the Request's
 * body goes into the context as credit allows, and what comes back becomes a
 * Response whose body is read as fast as the caller reads it.
 */
export class FetchRelay implements StreamListener {
  readonly startedAt: number
  readonly #source: FetchSource
  readonly #task: FetchTask
  readonly #settleCaller: Settle
  readonly #onOver: () => void
  readonly #stream: FrontStream
  readonly #channel: FrontChannel
  readonly #connection: number
  readonly #deadline: number
  #upload: ReadableStreamDefaultReader<Uint8Array> | undefined
  #wake: (() => void) | undefined
  #download: ReadableStreamDefaultController<Uint8Array> | undefined
  #unread = 0
  #status = 0
  /** Bytes that Content-Length still promises; undefined where it promises none. */
  #promised: number | undefined
  /** As Relay's: `uploading` is an answer that is complete before its request is. */
  #state: 'waiting' | 'answering' | 'uploading' | 'over' = 'waiting'

  constructor(source: FetchSource, task: FetchTask, settle: Settle, onOver: () => void) {
    this.#source = source
    this.#task = task
    this.#settleCaller = settle
    this.#onOver = onOver
    this.startedAt = task.deadlines.clock.now()
    const { channel } = task.lease.context
    const { method, url, rawHeaders, request } = source
    this.#channel = channel
    this.#connection = streamNumber(source, channel, task.client)
    const { mount } = task
    const end = request.body === null
    this.#stream = channel.open(
      { connection: this.#connection, method, url, rawHeaders, flags: flagsOf(true, true, false, false), mount, end },
      this,
    )
    this.#deadline = task.deadlines.add(this)
    if (requestStart.watched) requestStart.publish(this.#facts())
    if (request.body !== null) void this.#send(request.body as ReadableStream<Uint8Array>)
  }

  get handlerTimeout(): number {
    return this.#task.lease.limits.handlerTimeout
  }

  handlerTimedOut(): void {
    const { label, limits } = this.#task.lease
    const message = `The application of '${label}' did not begin its answer within handlerTimeout (${limits.handlerTimeout} ms)`
    this.#giveUp('timeout', new TenantryError('ERR_HANDLER_TIMEOUT', message, { label }))
  }

  // What the caller does.

  /** The caller gave the request up: before its answer, or while it read it. */
  aborted(): void {
    this.#leave(this.#source.request.signal.reason)
  }

  /** Never rejects: a body that fails is a client that leaves. */
  async #send(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = (this.#upload = body.getReader())
    const { bodyLimit } = this.#task.lease.limits
    let bytes = 0
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (this.#state === 'over') return
        if (done) break
        if (!(value instanceof Uint8Array)) throw new TypeError('A request body must be a stream of Uint8Array')
        bytes += value.byteLength
        if (bodyLimit > 0 && bytes > bodyLimit) {
          this.#giveUp('body-limit', bodyTooLarge(bodyLimit, this.#task.lease.label))
          return
        }
        if (!this.#stream.write(value)) await new Promise<void>((resolve) => { this.#wake = resolve })
      }
      this.#stream.end(undefined)
      this.#upload = undefined
      if (this.#state === 'uploading') this.#settle()
    } catch (error) {
      this.#leave(error)
    }
  }

  #leave(reason: unknown): void {
    if (this.#state === 'over') return
    this.#stream.reset('client-gone')
    if (this.#state === 'uploading') return this.#settle()
    const gone = new TenantryError('ERR_CLIENT_GONE', 'The caller gave the request up before its answer was complete')
    this.#fail(gone, true, reason)
  }

  /** The caller has read what was there. */
  #pulled(): void {
    const bytes = this.#unread
    this.#unread = 0
    if (bytes > 0) this.#stream.consumed(bytes)
  }

  // What the context says.

  onHead(text: string, piece: Piece | undefined, end: boolean): void {
    const head = readResponseHead(text)
    if (head === undefined) return this.#violation('a response head that is none')
    if (head.ambiguous) return this.#giveUp('destroyed', this.#broken('framed its answer in two ways'))
    if (head.status > 599) return this.#giveUp('destroyed', this.#broken(`answered with ${head.status}, which no Response can have`))
    this.#task.deadlines.delete(this.#deadline)
    this.#state = 'answering'
    const response = this.#respond(head)
    if (piece !== undefined) this.onData(piece, end)
    else if (end) this.onEnd()
    this.#settleCaller.resolve(response)
  }

  #respond(head: ResponseHead): Response {
    const { status } = head
    this.#status = status
    const hasBody = this.#source.method !== 'HEAD' && !NULL_BODY.has(status)
    if (hasBody) this.#promised = head.length
    const body = hasBody
      ? new ReadableStream<Uint8Array>({
        start: (controller) => { this.#download = controller },
        pull: () => this.#pulled(),
        cancel: (reason: unknown) => {
          this.#download = undefined
          this.#leave(reason)
        },
      })
      : null
    const fields = dropHopByHop(fieldsOf(head))
    const headers = new Headers()
    for (let at = 0; at < fields.length; at += 2) headers.append(fields[at] as string, fields[at + 1] as string)
    return new Response(body, { status, statusText: head.text.slice(13, head.text.indexOf('\r\n')), headers })
  }

  onData(piece: Piece, end: boolean): void {
    const bytes = pieceLength(piece)
    if (this.#promised !== undefined) {
      this.#promised -= bytes
      if (this.#promised < 0 || (end && this.#promised > 0)) return this.#breakPromise()
    }
    if (this.#download === undefined) this.#stream.consumed(bytes)
    else if (bytes > 0) {
      this.#unread += bytes
      // Memory of its own either way: what the pool holds is not for others to see.
      this.#download.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece)
    }
    if (end) this.#finish()
  }

  /** A Response has no trailers: they are dropped. */
  onEnd(): void {
    if (this.#promised !== undefined && this.#promised > 0) return this.#breakPromise()
    this.#finish()
  }

  /** Nor informational answers. */
  onInfo(): void {}

  onWritable(): void {
    this.#wake?.()
  }

  onReset(_code: ResetCode): void {
    if (this.#state === 'uploading') return this.#settle()
    if (this.#state === 'over') return
    const { label } = this.#task.lease
    const error = new TenantryError('ERR_CONTEXT_EXITED', `The application of '${label}' destroyed the connection`, { label })
    this.#fail(error, true, error)
  }

  onFailure(error: TenantryError): void {
    if (this.#state === 'uploading') return this.#settle()
    if (this.#state !== 'over') this.#answerWith(error)
  }

  #violation(what: string): void {
    const { label, context } = this.#task.lease
    const error = new TenantryError('ERR_PROTOCOL', `The context of '${label}' sent ${what}`, { label })
    context.terminate('protocol', error).catch(() => {})
    this.onFailure(error)
  }

  #breakPromise(): void {
    const error = this.#broken('sent another number of bytes than its Content-Length says')
    this.#stream.reset('destroyed')
    this.#fail(error, true, error)
  }

  #broken(what: string): TenantryError {
    const { label } = this.#task.lease
    return new TenantryError('ERR_PROTOCOL', `The application of '${label}' ${what}`, { label })
  }

  /** Ends the exchange from our side, with an error for the caller. */
  #giveUp(code: ResetCode, error: TenantryError): void {
    if (this.#state === 'over') return
    this.#stream.reset(code)
    if (this.#state === 'uploading') return this.#settle()
    this.#answerWith(error)
  }

  /** As replyWithError: an answer that has not begun is one of ours, one that has is truncated. */
  #answerWith(error: TenantryError): void {
    if (this.#state === 'waiting') this.#settleCaller.resolve(responseOf(this.#source.request, error))
    this.#fail(error, this.#state === 'answering', error)
  }

  #finish(): void {
    this.#download?.close()
    this.#download = undefined
    if (this.#stream.requestEnded) this.#settle()
    else this.#state = 'uploading'
    if (!requestFinish.watched) return
    const responseTime = this.#task.deadlines.clock.now() - this.startedAt
    requestFinish.publish({ ...this.#facts(), statusCode: this.#status, responseTime })
  }

  /** A body that was begun is errored, so that its reader cannot take it for complete; a caller that waits is rejected. */
  #fail(error: TenantryError, truncated: boolean, reason: unknown): void {
    this.#download?.error(reason)
    this.#download = undefined
    this.#settleCaller.reject(reason)
    this.#settle()
    if (!requestError.watched) return
    requestError.publish({ ...this.#facts(), code: error.code, truncated, error })
  }

  /** Nothing of this request is left: the lease goes back. */
  #settle(): void {
    const served = this.#state !== 'waiting'
    this.#state = 'over'
    this.#wake?.()
    // Its source is told that nobody reads the rest; one that fails to be cancelled has nobody left to tell.
    this.#upload?.cancel().catch(() => {})
    this.#task.deadlines.delete(this.#deadline)
    this.#task.lease.release(served)
    // Not the context's: one that has exited has none to give.
    this.#channel.disconnect(this.#connection)
    this.#onOver()
  }

  #facts(): { label: string; contextId: number; requestId: number; method: string } {
    const { lease, requestId } = this.#task
    return { label: lease.label, contextId: lease.context.id, requestId, method: this.#source.method }
  }
}
