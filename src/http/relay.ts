import { isGone, isHttp2 } from '../connection/http2-stream.ts'
import { TenantryError } from '../errors.ts'
import { flagsOf } from '../wire/front-channel.ts'
import { MAX_PIECE } from '../wire/frames.ts'
import { bodyTooLarge } from '../connection/body-facts.ts'
import { connectionNumber, streamNumber, unbind, unwatchClose, watchClose } from './connections.ts'
import { destroyResponse, replyWithError } from '../connection/error-reply.ts'
import { asHttp1, joinTrailers } from './http2-front.ts'
import { Relayed } from './relayed.ts'
import { fieldsOf, readResponseHead, writeResponseHead } from './response-head.ts'
import { countUnread } from './unread-answers.ts'
import { endWhole } from './whole-answer.ts'
import http from 'node:http'
import type { BodyFacts } from '../connection/body-facts.ts'
import type { CloseWatcher } from './connections.ts'
import type { RelayedTask } from './relayed.ts'
import type { SendDeadlines, SendPace } from '../connection/send-deadlines.ts'
import type { ResponseHead } from './response-head.ts'
import type { Piece } from '../wire/frames.ts'

/** What a relay needs besides the request itself. */
export interface RelayTask extends RelayedTask {
  readonly sends: SendDeadlines
  /** The client waits for 100 Continue and has not got it yet. */
  readonly expectsContinue: boolean
}

/** Set by node:http for the last request that its server's maxRequestsPerSocket allows. */
interface LimitedResponse extends http.ServerResponse {
  maxRequestsOnConnectionReached?: boolean
}

// oxlint-disable-next-line typescript/unbound-method -- compared, never called
const { write } = http.ServerResponse.prototype

/**
 * One request of a server through the relay: its head and body go into the
 * context as credit allows, the answer comes back and goes to the client as
 * fast as the client reads it.
 */
export class Relay extends Relayed implements CloseWatcher {
  protected declare readonly task: RelayTask
  readonly #req: http.IncomingMessage
  readonly #res: http.ServerResponse
  #stopBody: (() => void) | undefined
  #bodyBytes = 0
  #awaitsContinue = false
  #unwritten = 0
  /** How the client takes the answer, once it has not taken something at once. */
  #sending: SendPace | undefined

  constructor(req: http.IncomingMessage, res: http.ServerResponse, body: BodyFacts, task: RelayTask) {
    const { channel } = task.lease.context
    const http2 = isHttp2(res)
    const { maxRequestsOnConnectionReached: isLast } = res as LimitedResponse
    const shared = http2 ? undefined : connectionNumber(req, channel, task.client)
    super(
      task,
      {
        connection: shared ?? streamNumber(req, channel, task.client),
        method: req.method as string,
        url: req.url as string,
        rawHeaders: http2 ? asHttp1(req, body) : req.rawHeaders,
        flags: flagsOf(req.httpVersionMinor === 1 || http2, res.shouldKeepAlive, false, task.expectsContinue, isLast),
        mount: task.mount,
        end: !body.hasBody,
      },
      shared === undefined,
    )
    this.#req = req
    this.#res = res
    if (shared === undefined) res.on('close', () => this.closed())
    else watchClose(req, this)
    if (body.hasBody) this.#readBody(body.length, task.expectsContinue)
  }

  // What the client does.

  #readBody(length: number | undefined, expectsContinue: boolean): void {
    const req = this.#req
    this.watchBody(length)
    // Such a client sends nothing before it is told to.
    this.#awaitsContinue = expectsContinue
    if (expectsContinue) this.pace?.pause()
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
    const { bodyLimit } = this.task.lease.limits
    this.#bodyBytes += chunk.byteLength
    this.pace?.received(chunk.byteLength)
    if (bodyLimit > 0 && this.#bodyBytes > bodyLimit) {
      this.giveUp('body-limit', bodyTooLarge(bodyLimit, this.task.lease.label))
      return
    }
    // node:http reads each chunk into memory of its own; unless somebody listens beside us, it can move.
    const own = this.#req.listenerCount('data') === 1
    if (this.stream.write(chunk, own)) return
    this.#req.pause()
    this.pace?.pause()
  }

  #bodyEnd(): void {
    const { rawTrailers } = this.#req
    this.pace?.end()
    this.stream.end(rawTrailers.length > 0 ? rawTrailers : undefined)
    if (this.state === 'uploading') this.settle()
  }

  /** 'close' of the response: after its end, or because the client left. */
  closed(): void {
    this.clientLeft()
  }

  /** The client takes no more for now. */
  #blocked(): void {
    this.#res.once('drain', () => this.#drained())
    this.#sending ??= this.task.sends.watch({
      label: this.task.lease.label,
      out: this.#res,
      connection: this.#req.socket,
      onLate: (error) => this.giveUp('client-gone', error),
    })
  }

  /** The client takes data again. */
  #drained(): void {
    const bytes = this.#unwritten
    this.#unwritten = 0
    if (bytes > 0) this.stream.consumed(bytes)
  }

  // What the context says.

  protected begin(head: ResponseHead): boolean {
    this.#continued()
    if (isGone(this.#res)) {
      this.clientLeft()
      return false
    }
    if (this.#res.headersSent) {
      this.#answeredElsewhere()
      return false
    }
    try {
      writeResponseHead(this.#res, head)
      return true
    } catch (cause) {
      this.violation('a response head with invalid fields', cause)
      return false
    }
  }

  protected flushHead(): void {
    this.#res.flushHeaders()
  }

  protected pass(piece: Piece, bytes: number, end: boolean): void {
    const res = this.#res
    if (end) {
      this.finish(res.statusCode)
      if (typeof piece !== 'string' || !endWhole(res, piece)) res.end(piece)
      this.#countUnread()
    } else if (this.#write(piece, bytes)) {
      this.stream.consumed(bytes)
    } else {
      if (this.#unwritten === 0) this.#blocked()
      this.#unwritten += bytes
    }
  }

  /** A full piece's memory goes back once it is written; a middleware that has taken `write` over may keep its own copy of it. */
  #write(piece: Piece, bytes: number): boolean {
    const res = this.#res
    if (bytes !== MAX_PIECE || typeof piece === 'string' || res.write !== write) return res.write(piece)
    return res.write(piece, () => this.stream.giveBack(piece.buffer as ArrayBuffer))
  }

  protected complete(trailers: string | undefined): void {
    if (trailers !== undefined) this.#addTrailers(trailers)
    this.finish(this.#res.statusCode)
    this.#res.end()
    this.#countUnread()
  }

  #countUnread(): void {
    this.#sending?.end()
    countUnread(this.task.lease.context, this.#req, this.#res, this.task.sends)
  }

  onInfo(text: string): void {
    const head = readResponseHead(text)
    if (head === undefined || head.status >= 200) return this.violation('an informational head that is none')
    try {
      if (head.status === 100) {
        this.#continued()
        this.#res.writeContinue()
      } else if (head.status === 102) this.#res.writeProcessing()
      else if (head.status === 103) this.#res.writeEarlyHints(collect(fieldsOf(head)))
    } catch {
      // A hint that node:http refuses is dropped: it is only a hint.
    }
  }

  #continued(): void {
    if (!this.#awaitsContinue) return
    this.#awaitsContinue = false
    this.pace?.resume()
  }

  onWritable(): void {
    this.pace?.resume()
    this.#req.resume()
  }

  protected reply(error: TenantryError): void {
    replyWithError(this.#req, this.#res, error)
  }

  protected cut(): void {
    destroyResponse(this.#res)
  }

  protected unbind(): void {
    unbind(this.#req, this)
  }

  protected release(): void {
    this.#sending?.end()
    if (!this.stream.requestEnded && this.#stopBody !== undefined) {
      this.#stopBody()
      this.task.bodies.watchRest(this.#req, this.#res)
    }
    unwatchClose(this.#req, this)
  }

  #addTrailers(text: string): void {
    const trailers: [string, string][] = []
    for (const line of text.split('\r\n')) {
      const colon = line.indexOf(': ')
      if (colon > 0) trailers.push([line.slice(0, colon), line.slice(colon + 2)])
    }
    try {
      this.#res.addTrailers(isHttp2(this.#res) ? joinTrailers(trailers) : trailers)
    } catch {
      // A trailer that node:http refuses is dropped, as the application's own node:http would have thrown.
    }
  }

  /** An outer middleware was faster, such as one with a timeout of its own: its answer stands. */
  #answeredElsewhere(): void {
    const { label } = this.task.lease
    this.stream.reset('client-gone')
    this.unbind()
    this.fail(new TenantryError('ERR_STATE', `A request for '${label}' was answered by somebody else first`, { label }), false)
  }
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
