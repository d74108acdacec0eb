import { readDeadline } from '../connection/read-deadline.ts'
import type http from 'node:http'
import type { ReadLimits } from '../connection/read-deadline.ts'
import type { ResponseInternals } from './node-internals.ts'

const kBody = Symbol('tenantry.body')

interface CountedRequest extends http.IncomingMessage {
  [kBody]?: HandedBody
}

/** How one request's body comes on a connection that this context serves, counted on its way to the application. */
export class HandedBody {
  readonly req: http.IncomingMessage
  readonly res: ResponseInternals
  /** What Content-Length announced; undefined for a chunked body. */
  readonly length: number | undefined
  /** Its answer is out: what still comes is read and thrown away, and not for ever. */
  isRest = false
  bytes = 0
  readonly #push: http.IncomingMessage['push']
  readonly #limit: number
  readonly #onExcess: () => void
  #startedAt: number
  /** Of `bytes`, those that count: of a rest only its own. */
  #base = 0

  /** `onExcess` runs once, in place of the piece that goes beyond `limit`; 0 is none. */
  constructor(req: http.IncomingMessage, res: http.ServerResponse, length: number | undefined, limit: number, now: number, onExcess: () => void) {
    this.req = req
    this.res = res as ResponseInternals
    this.length = length
    this.#limit = limit
    this.#startedAt = now
    this.#onExcess = onExcess
    this.#push = req.push
    ;(req as CountedRequest)[kBody] = this
    // An own property, because frameworks put their own prototypes on it.
    req.push = push
  }

  elapsed(now: number): number {
    return now - this.#startedAt
  }

  isLate(pace: ReadLimits, now: number, lookedAt: number): boolean {
    const { res, req } = this
    if (!this.isRest && res.writableEnded && res.writableLength === 0) {
      this.isRest = true
      this.#startedAt = now
      this.#base = this.bytes
    }
    // While the application does not read, or has not asked a client that waits, the clock stands still.
    const isAsked = !res._expect_continue || res._sent100 || res._header !== null
    if (!isAsked || (!this.isRest && req.socket.isPaused())) this.#startedAt += now - lookedAt
    return now >= readDeadline(pace, this.#startedAt, this.bytes - this.#base)
  }

  push(piece: Uint8Array | null, encoding: BufferEncoding | undefined): boolean {
    const before = this.bytes
    if (piece !== null) this.bytes += piece.byteLength
    if (this.#limit === 0 || this.bytes <= this.#limit) return this.#push.call(this.req, piece, encoding)
    if (before <= this.#limit) this.#onExcess()
    return false
  }
}

function push(this: CountedRequest, piece: Uint8Array | null, encoding?: BufferEncoding): boolean {
  return (this[kBody] as HandedBody).push(piece, encoding)
}
