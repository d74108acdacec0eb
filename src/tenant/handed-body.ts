import { readDeadline } from '../connection/read-deadline.ts'
import type http from 'node:http'
import type { ReadLimits } from '../connection/read-deadline.ts'
import type { ResponseInternals } from './node-internals.ts'

/** How one request's body comes on a connection that this context serves: its bytes are the connection's. */
export class HandedBody {
  readonly req: http.IncomingMessage
  readonly res: ResponseInternals
  /** What Content-Length announced; undefined for a chunked body. */
  readonly length: number | undefined
  /** Its answer is out: what still comes is read and thrown away, and not for ever. */
  isRest = false
  #startedAt: number
  #base: number

  constructor(req: http.IncomingMessage, res: http.ServerResponse, length: number | undefined, now: number) {
    this.req = req
    this.res = res as ResponseInternals
    this.length = length
    this.#startedAt = now
    this.#base = req.socket.bytesRead
  }

  get bytes(): number {
    return this.req.socket.bytesRead - this.#base
  }

  elapsed(now: number): number {
    return now - this.#startedAt
  }

  isLate(limits: ReadLimits, now: number, lookedAt: number): boolean {
    const { res, req } = this
    if (!this.isRest && res.writableEnded && res.writableLength === 0) {
      this.isRest = true
      this.#startedAt = now
      this.#base = req.socket.bytesRead
    }
    // While the application does not read, or has not asked a client that waits, the clock stands still.
    const isAsked = !res._expect_continue || res._sent100 || res._header !== null
    if (!isAsked || (!this.isRest && req.socket.isPaused())) this.#startedAt += now - lookedAt
    return now >= readDeadline(limits, this.#startedAt, this.bytes)
  }
}

/** Counts a chunked body as it comes: `onExcess` runs once, in place of the piece that is too much. */
export function boundBody(req: http.IncomingMessage, bodyLimit: number, onExcess: () => void): void {
  let bytes = 0
  const { push } = req
  // An own property, because frameworks put their own prototypes on it.
  req.push = (piece: Uint8Array | null, encoding?: BufferEncoding): boolean => {
    if (piece !== null) bytes += piece.byteLength
    if (bytes <= bodyLimit) return push.call(req, piece, encoding)
    if (piece !== null && bytes - piece.byteLength <= bodyLimit) onExcess()
    return false
  }
}
