import { TenantryError } from '../errors.ts'
import { requestError, requestFinish, requestStart } from '../events.ts'
import { pieceLength } from '../wire/front-stream.ts'
import { readResponseHead } from './response-head.ts'
import type { BodyDeadlines, BodyPace } from '../connection/body-deadlines.ts'
import type { AwaitingHead, HandlerDeadlines } from './handler-deadlines.ts'
import type { ResponseHead } from './response-head.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel, OpenHead } from '../wire/front-channel.ts'
import type { FrontStream, StreamListener } from '../wire/front-stream.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'

/** What a relay needs besides the request itself. */
export interface RelayedTask {
  readonly lease: Lease
  readonly mount: number
  readonly client: ClientFacts
  readonly requestId: number
  readonly deadlines: HandlerDeadlines
  readonly bodies: BodyDeadlines
  /** Runs the request once more, where that can do no harm. */
  readonly again?: (() => void) | undefined
}

/**
 * One request on its way through the relay, whoever asked: how its answer is
 * checked, how it ends or is given up, what others hear of it. How the answer
 * reaches the client is the subclass's.
 */
export abstract class Relayed implements StreamListener, AwaitingHead {
  readonly startedAt: number
  protected readonly task: RelayedTask
  protected readonly stream: FrontStream
  /**
   *     waiting → answering → over           the answer and the request are complete
   *     answering → uploading → over         the answer is, the request's body goes on
   */
  protected state: 'waiting' | 'answering' | 'uploading' | 'over' = 'waiting'
  /** How the request's body comes, where somebody minds. */
  protected pace: BodyPace | undefined
  readonly #channel: FrontChannel
  /** The connection's number where it serves this request alone. */
  readonly #ownConnection: number | undefined
  readonly #method: string
  readonly #deadline: number
  /** Bytes that Content-Length still promises; undefined where it promises none. */
  #promised: number | undefined

  constructor(task: RelayedTask, head: OpenHead, ownsConnection: boolean) {
    const { deadlines, lease } = task
    this.task = task
    this.startedAt = deadlines.clock.now()
    this.#method = head.method
    this.#ownConnection = ownsConnection ? head.connection : undefined
    this.#channel = lease.context.channel
    this.stream = this.#channel.open(head, this)
    this.#deadline = deadlines.add(this)
    if (requestStart.watched) requestStart.publish(this.#facts())
  }

  get handlerTimeout(): number {
    return this.task.lease.limits.handlerTimeout
  }

  /** The application has not begun its answer in time: it is told first, then the client. */
  handlerTimedOut(): void {
    const { label, limits } = this.task.lease
    const message = `The application of '${label}' did not begin its answer within handlerTimeout (${limits.handlerTimeout} ms)`
    this.giveUp('timeout', new TenantryError('ERR_HANDLER_TIMEOUT', message, { label }))
  }

  /** The body is read from now on. */
  protected watchBody(length: number | undefined): void {
    const { bodies, lease } = this.task
    this.pace = bodies.watch({ label: lease.label, length, onLate: (error) => this.giveUp('body-timeout', error) })
  }

  // What the context says.

  onHead(text: string, piece: Piece | undefined, end: boolean, flags: number): void {
    const head = readResponseHead(text, flags)
    if (head === undefined) return this.violation('a response head that is none')
    if (head.ambiguous) return this.refuseAnswer('framed its answer in two ways')
    this.task.deadlines.delete(this.#deadline)
    if (!this.begin(head)) return
    this.state = 'answering'
    if (this.#method !== 'HEAD' && head.status !== 204 && head.status !== 304) this.#promised = head.length
    if (piece !== undefined) this.onData(piece, end)
    else if (end) this.onEnd(undefined)
    else this.flushHead()
  }

  onData(piece: Piece, end: boolean): void {
    const bytes = pieceLength(piece)
    if (this.#promised !== undefined) {
      this.#promised -= bytes
      if (this.#promised < 0 || (end && this.#promised > 0)) return this.#breakPromise()
    }
    this.pass(piece, bytes, end)
  }

  onEnd(trailers: string | undefined): void {
    if (this.#promised !== undefined && this.#promised > 0) return this.#breakPromise()
    this.complete(trailers)
  }

  abstract onInfo(text: string): void

  abstract onWritable(): void

  onReset(_code: ResetCode): void {
    // After the answer's end: the rest of the request is not wanted.
    if (this.state === 'uploading') return this.settle()
    if (this.state === 'over') return
    const { label } = this.task.lease
    this.#breakOff(new TenantryError('ERR_CONTEXT_EXITED', `The application of '${label}' destroyed the connection`, { label }))
  }

  onFailure(error: TenantryError): void {
    if (this.state === 'uploading') return this.settle()
    if (this.state === 'over') return
    const { again } = this.task
    // Its daemon died before it answered, of whatever: the client need not hear of it.
    if (again !== undefined && this.state === 'waiting' && error.code === 'ERR_DAEMON_EXITED') {
      this.fail(error, false)
      // Its group hears of the end first, so that the next lease is one of another context.
      void this.task.lease.context.ended.then(again)
      return
    }
    this.#replyWith(error)
  }

  // What a subclass does with the answer.

  /** Writes the head; false when it has given the request up instead. */
  protected abstract begin(head: ResponseHead): boolean

  /** The body is not there yet: the head goes alone. */
  protected abstract flushHead(): void

  /** A piece of the body; calls `finish` where it is the last one. */
  protected abstract pass(piece: Piece, bytes: number, end: boolean): void

  /** The body is over; calls `finish`. */
  protected abstract complete(trailers: string | undefined): void

  /** Answers for Tenantry: nothing of the application's was sent. */
  protected abstract reply(error: TenantryError): void

  /** Breaks the answer off, so that nobody can take it for complete. */
  protected abstract cut(error: TenantryError): void

  /** The context has closed its side of the connection; before `reply` and `cut`. */
  protected abstract unbind(): void

  /** Nothing more will be heard of the request. */
  protected abstract release(): void

  // What a subclass tells.

  /** The client left; what it is told is the subclass's. */
  protected clientLeft(): void {
    if (this.state === 'over') return
    this.stream.reset('client-gone')
    this.unbind()
    if (this.state === 'uploading') return this.settle()
    this.fail(new TenantryError('ERR_CLIENT_GONE', 'The client left before its answer was complete'), true)
  }

  /** No honest context sends this: it ends. */
  protected violation(what: string, cause?: unknown): void {
    const { label, context } = this.task.lease
    const error = new TenantryError('ERR_PROTOCOL', `The context of '${label}' sent ${what}`, { label, cause })
    context.terminate('protocol', error).catch(() => {})
    // A head whose end came with it has left the channel already, so the channel cannot fail it.
    this.onFailure(error)
  }

  /** Ends the request from our side, with an error for the client. */
  protected giveUp(code: ResetCode, error: TenantryError): void {
    if (this.state === 'over') return
    this.stream.reset(code)
    this.unbind()
    if (this.state === 'uploading') return this.settle()
    this.#replyWith(error)
  }

  /** An answer that no client may get: Tenantry's own goes out instead. */
  protected refuseAnswer(what: string): void {
    this.giveUp('destroyed', this.#broken(what))
  }

  /** The answer is complete; the request may still be on its way, to an application that reads it. */
  protected finish(statusCode: number): void {
    if (this.stream.requestEnded) this.settle()
    else this.state = 'uploading'
    if (!requestFinish.watched) return
    const responseTime = this.task.deadlines.clock.now() - this.startedAt
    requestFinish.publish({ ...this.#facts(), statusCode, responseTime })
  }

  protected fail(error: TenantryError, truncated: boolean): void {
    this.settle()
    if (!requestError.watched) return
    requestError.publish({ ...this.#facts(), code: error.code, truncated, error })
  }

  /** Nothing of this request is left: the lease goes back. */
  protected settle(): void {
    const served = this.state !== 'waiting'
    this.state = 'over'
    this.pace?.end()
    this.release()
    this.task.deadlines.delete(this.#deadline)
    this.task.lease.release(served)
    if (this.#ownConnection !== undefined) this.#channel.disconnect(this.#ownConnection)
  }

  /** An answer that has begun is cut, one that has not is ours. */
  #replyWith(error: TenantryError): void {
    const begun = this.state === 'answering'
    this.fail(error, begun)
    if (begun) this.cut(error)
    else this.reply(error)
  }

  /** An answer that is not as long as it said: a client must not take what follows for a part of it, or the other way. */
  #breakPromise(): void {
    this.stream.reset('destroyed')
    this.#breakOff(this.#broken('sent another number of bytes than its Content-Length says'))
  }

  /** What node:http's clients see where an application destroys its socket: a connection that breaks off. */
  #breakOff(error: TenantryError): void {
    this.unbind()
    this.fail(error, true)
    this.cut(error)
  }

  #broken(what: string): TenantryError {
    const { label } = this.task.lease
    return new TenantryError('ERR_PROTOCOL', `The application of '${label}' ${what}`, { label })
  }

  #facts(): { label: string; contextId: number; requestId: number; method: string } {
    const { lease, requestId } = this.task
    return { label: lease.label, contextId: lease.context.id, requestId, method: this.#method }
  }
}
