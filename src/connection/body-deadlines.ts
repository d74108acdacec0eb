import { isHttp2 } from './http2-stream.ts'
import { readDeadline, readTimeout } from './read-deadline.ts'
import type http from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { TenantryError } from '../errors.ts'
import type { ReadLimits } from './read-deadline.ts'
import type { Sweep, Watched } from './sweep.ts'

/** Whose body is read. */
export interface BodyReader {
  readonly label: string
  /** What Content-Length announced; undefined for a chunked body. */
  readonly length: number | undefined
  /** The client is too slow: nothing more is read. */
  readonly onLate: (error: TenantryError) => void
}

/** `bodyTimeout` for all requests. */
export class BodyDeadlines {
  readonly #limits: ReadLimits
  readonly #sweep: Sweep

  constructor(limits: ReadLimits, sweep: Sweep) {
    this.#limits = limits
    this.#sweep = sweep
  }

  /** From the first read of a body; undefined where there is no limit. */
  watch(reader: BodyReader): BodyPace | undefined {
    if (this.#limits.timeout === 0) return undefined
    const pace = new BodyPace(reader, this.#limits, this.#sweep)
    this.#sweep.add(pace)
    return pace
  }

  /** What still comes of a body after its request was answered: read, thrown away, and not for ever. */
  watchRest(req: http.IncomingMessage, res: http.ServerResponse): void {
    if (this.#limits.timeout === 0 || req.complete) return
    this.#sweep.add(new Rest(req, res, this.#limits, this.#sweep))
  }
}

/** How one request's body comes. While we do not read, the clock stands still: that is not the client's fault. */
export class BodyPace implements Watched {
  deadline: number
  place = -1
  readonly #reader: BodyReader
  readonly #limits: ReadLimits
  readonly #sweep: Sweep
  #startedAt: number
  #pausedAt: number | undefined
  #bytes = 0

  constructor(reader: BodyReader, limits: ReadLimits, sweep: Sweep) {
    this.#reader = reader
    this.#limits = limits
    this.#sweep = sweep
    this.#startedAt = sweep.clock.now()
    this.deadline = readDeadline(limits, this.#startedAt, 0)
  }

  /** Looked at when the deadline has passed: until then it costs an addition. */
  received(bytes: number): void {
    this.#bytes += bytes
  }

  pause(): void {
    if (this.#pausedAt !== undefined) return
    this.#pausedAt = this.#sweep.clock.now()
    this.deadline = Infinity
  }

  resume(): void {
    if (this.#pausedAt === undefined) return
    this.#startedAt += this.#sweep.clock.now() - this.#pausedAt
    this.#pausedAt = undefined
    this.deadline = readDeadline(this.#limits, this.#startedAt, this.#bytes)
  }

  /** The body is complete, or nobody reads it any more. */
  end(): void {
    this.#sweep.delete(this)
  }

  due(now: number): void {
    this.deadline = readDeadline(this.#limits, this.#startedAt, this.#bytes)
    if (now < this.deadline) return
    this.end()
    const { label, length, onLate } = this.#reader
    onLate(readTimeout('body', { bytes: this.#bytes, length, milliseconds: now - this.#startedAt, label }))
  }
}

/** Looked at in every sweep, since nobody tells when such a body is over. Counted by the connection's bytes. */
class Rest implements Watched {
  deadline = 0
  place = -1
  readonly #req: http.IncomingMessage
  readonly #res: http.ServerResponse
  readonly #limits: ReadLimits
  readonly #sweep: Sweep
  #startedAt: number | undefined
  #base = 0

  constructor(req: http.IncomingMessage, res: http.ServerResponse, limits: ReadLimits, sweep: Sweep) {
    this.#req = req
    this.#res = res
    this.#limits = limits
    this.#sweep = sweep
  }

  due(now: number): void {
    // Not whether the request is destroyed: from Node 24 on, that says nothing about its bytes.
    const { socket, complete } = this.#req
    if (complete || socket.destroyed) return this.#sweep.delete(this)
    // Read only once the answer is out, which may have to wait for others on its connection.
    if (!this.#res.writableEnded || this.#res.writableLength > 0) return
    if (this.#startedAt === undefined) {
      this.#startedAt = now
      this.#base = socket.bytesRead
    }
    if (now < readDeadline(this.#limits, this.#startedAt, socket.bytesRead - this.#base)) return
    this.#sweep.delete(this)
    // RFC 9113 §8.1: after a complete answer, without an error.
    if (isHttp2(this.#res)) (this.#req as unknown as Http2ServerRequest).stream.close()
    else socket.destroy()
  }
}
