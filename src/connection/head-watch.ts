import { rawErrorReply } from './error-reply.ts'
import { readDeadline, readTimeout } from './read-deadline.ts'
import { hasRequestLine, isParsed } from './unfinished-head.ts'
import type http from 'node:http'
import type net from 'node:net'
import type { TenantryError } from '../errors.ts'
import type { ReadLimits } from './read-deadline.ts'
import type { Sweep, Watched } from './sweep.ts'

/** How long a 408 or a GOAWAY may take to leave. Milliseconds. */
const FAREWELL = 1000

const kHeads = Symbol('tenantry.heads')

interface WatchedSocket extends net.Socket {
  [kHeads]?: HeadWatch
}

/** Whoever watches the heads of that connection; a substitute of a socket shows its socket's. */
export function headsOf(socket: net.Socket): HeadWatch | undefined {
  return (socket as WatchedSocket)[kHeads]
}

/**
 * `headerTimeout` for one connection: its number of received bytes is read in a sweep.
 *
 *     between → head → closing
 *
 * Between requests it is looked at in every sweep: a head begins with the first
 * byte that nobody was served for. A head is left alone until its deadline.
 */
export abstract class HeadWatch implements Watched {
  readonly socket: net.Socket
  deadline = 0
  place = -1
  readonly #limits: ReadLimits
  readonly #sweep: Sweep
  readonly #onRefused: (error: TenantryError, socket: net.Socket) => void
  #stage: 'between' | 'head' | 'closing' = 'between'
  /** Received before the stage began. */
  #base = 0
  #startedAt: number
  #lookedAt: number
  #hasServed = false

  /** `onRefused` hears why a connection is closed whose head came too slowly. */
  constructor(socket: net.Socket, limits: ReadLimits, sweep: Sweep, onRefused: (error: TenantryError, socket: net.Socket) => void) {
    this.socket = socket
    this.#limits = limits
    this.#sweep = sweep
    this.#onRefused = onRefused
    this.#startedAt = this.#lookedAt = sweep.clock.now()
    ;(socket as WatchedSocket)[kHeads] = this
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
    this.#onRefused(error, this.socket)
    this.deadline = now + FAREWELL
    this.farewell(error)
  }
}

function onClose(this: net.Socket): void {
  ;(this as WatchedSocket)[kHeads]?.leave()
}

export class Http1Heads extends HeadWatch {
  /** The last ones: those before, where requests are pipelined, are over first. */
  #request: http.IncomingMessage | undefined
  #response: http.ServerResponse | undefined
  /** Since the last look. */
  #hasServedOne = false

  asked(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.#request = request
    this.#response = response
    this.deadline = 0
  }

  /** An answer is out. Not kept until the next look: what outlives a collection is copied, and makes V8's young generation grow. */
  answered(response: http.ServerResponse): void {
    if (this.#response !== response || this.#request?.complete !== true) return
    this.#request = this.#response = undefined
    this.#hasServedOne = true
  }

  protected isForeign(): boolean {
    return !isParsed(this.socket)
  }

  protected isServing(): boolean {
    const hasServedOne = this.#hasServedOne
    this.#hasServedOne = false
    if (this.#request === undefined) return hasServedOne
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
