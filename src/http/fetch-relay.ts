import { flagsOf } from '../wire/front-channel.ts'
import { bodyTooLarge } from '../connection/body-facts.ts'
import { streamNumber } from './connections.ts'
import { errorReply } from '../connection/error-reply.ts'
import { Relayed } from './relayed.ts'
import { dropHopByHop, fieldsOf } from './response-head.ts'
import type { TenantryError } from '../errors.ts'
import type { FetchSource, Settle } from './fetch-source.ts'
import type { RelayedTask } from './relayed.ts'
import type { ResponseHead } from './response-head.ts'
import type { Piece } from '../wire/frames.ts'

/** Statuses whose Response may have no body (Fetch standard, "null body status"). */
const NULL_BODY = new Set([204, 205, 304])

const encoder = new TextEncoder()

/**
 * What Relay is for a server's request, for one of `runtime.fetch`: the Request's
 * body goes into the context as credit allows, and what comes back becomes a
 * Response whose body is read as fast as the caller reads it.
 */
export class FetchRelay extends Relayed {
  readonly #source: FetchSource
  readonly #settleCaller: Settle
  readonly #onOver: () => void
  #upload: ReadableStreamDefaultReader<Uint8Array> | undefined
  #wake: (() => void) | undefined
  #response: Response | undefined
  #download: ReadableStreamDefaultController<Uint8Array> | undefined
  #unread = 0
  #status = 0

  constructor(source: FetchSource, task: RelayedTask, settle: Settle, onOver: () => void) {
    const { method, url, rawHeaders, request } = source
    const connection = streamNumber(source, task.lease.context.channel, task.client)
    const end = request.body === null
    super(task, { connection, method, url, rawHeaders, flags: flagsOf(true, true, false, false), mount: task.mount, end }, true)
    this.#source = source
    this.#settleCaller = settle
    this.#onOver = onOver
    if (request.body !== null) void this.#send(request.body as ReadableStream<Uint8Array>)
  }

  // What the caller does.

  /** The caller gave the request up: before its answer, or while it read it. */
  aborted(): void {
    this.#leave(this.#source.request.signal.reason)
  }

  /** Never rejects: a body that fails is a client that leaves. */
  async #send(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = (this.#upload = body.getReader())
    const length = this.#source.request.headers.get('content-length')
    this.watchBody(length === null ? undefined : Number(length))
    const { bodyLimit } = this.task.lease.limits
    let bytes = 0
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (this.state === 'over') return
        if (done) break
        if (!(value instanceof Uint8Array)) throw new TypeError('A request body must be a stream of Uint8Array')
        bytes += value.byteLength
        this.pace?.received(value.byteLength)
        if (bodyLimit > 0 && bytes > bodyLimit) {
          this.giveUp('body-limit', bodyTooLarge(bodyLimit, this.task.lease.label))
          return
        }
        if (this.stream.write(value)) continue
        this.pace?.pause()
        await new Promise<void>((resolve) => { this.#wake = resolve })
        this.pace?.resume()
      }
      this.pace?.end()
      this.stream.end(undefined)
      this.#upload = undefined
      if (this.state === 'uploading') this.settle()
    } catch (error) {
      this.#leave(error)
    }
  }

  #leave(reason: unknown): void {
    this.clientLeft()
    this.#rejectWith(reason)
  }

  /** The caller has read what was there. */
  #pulled(): void {
    const bytes = this.#unread
    this.#unread = 0
    if (bytes > 0) this.stream.consumed(bytes)
  }

  // What the context says.

  /** The caller is answered last: where all came at once, a broken answer rejects. */
  override onHead(text: string, piece: Piece | undefined, end: boolean, flags: number): void {
    super.onHead(text, piece, end, flags)
    if (this.#response !== undefined) this.#settleCaller.resolve(this.#response)
    this.#response = undefined
  }

  protected begin(head: ResponseHead): boolean {
    if (head.status > 599) {
      this.refuseAnswer(`answered with ${head.status}, which no Response can have`)
      return false
    }
    this.#response = this.#respond(head)
    return true
  }

  protected flushHead(): void {}

  #respond(head: ResponseHead): Response {
    const { status } = head
    this.#status = status
    const hasBody = this.#source.method !== 'HEAD' && !NULL_BODY.has(status)
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

  protected pass(piece: Piece, bytes: number, end: boolean): void {
    if (this.#download === undefined) this.stream.consumed(bytes)
    else if (bytes > 0) {
      this.#unread += bytes
      // Memory of its own either way: what the pool holds is not for others to see.
      this.#download.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece)
    }
    if (end) this.complete()
  }

  /** A Response has no trailers: they are dropped. */
  protected complete(): void {
    this.#download?.close()
    this.#download = undefined
    this.finish(this.#status)
  }

  /** Nor informational answers. */
  onInfo(): void {}

  onWritable(): void {
    this.#wake?.()
  }

  protected reply(error: TenantryError): void {
    this.#settleCaller.resolve(responseOf(this.#source.request, error))
  }

  protected cut(error: TenantryError): void {
    this.#rejectWith(error)
  }

  /** A body that was begun is errored, so that its reader cannot take it for complete; a caller that waits is rejected. */
  #rejectWith(reason: unknown): void {
    this.#download?.error(reason)
    this.#download = undefined
    this.#settleCaller.reject(reason)
  }

  /** It has no connection that another request could use. */
  protected unbind(): void {}

  protected release(): void {
    this.#wake?.()
    // Its source is told that nobody reads the rest; one that fails to be cancelled has nobody left to tell.
    this.#upload?.cancel().catch(() => {})
    this.#onOver()
  }
}

/** What Tenantry itself answers to a Request. */
export function responseOf(request: Request, error: TenantryError): Response {
  const { status, title, fields, body } = errorReply(error, request.headers.get('accept'))
  const headers = fields.map(([name, value]): [string, string] => [name, value])
  return new Response(request.method === 'HEAD' ? null : body, { status, statusText: title, headers })
}
