import { TenantryError } from '../errors.ts'
import { formatDuration } from '../units.ts'
import type http from 'node:http'
import type net from 'node:net'
import type { Writable } from 'node:stream'
import type { Sweep, Watched } from './sweep.ts'

/** What a client is sent: a response, or an upgraded connection. */
export interface Outgoing {
  readonly label: string
  readonly out: Pick<Writable, 'writableLength'> & { readonly socket?: unknown }
  /** The connection of the client; on HTTP/2 what all streams share. */
  readonly connection: net.Socket
  /** The client takes nothing any more. */
  readonly onLate: (error: TenantryError) => void
}

/** What libuv keeps of a connection, and node:net's own timeout looks at; the same names from Node 20 to 26. */
interface Handle {
  readonly bytesWritten?: number
  readonly writeQueueSize?: number
  /** Below TLS. */
  readonly _parent?: Handle
}

/** How much later than `sendTimeout` it may be noticed: a tenth of it. */
const LOOKS = 10

/** `sendTimeout` for all answers. Small ones never come here: their clients take them at once. */
export class SendDeadlines {
  readonly #timeout: number
  readonly #sweep: Sweep

  constructor(timeout: number, sweep: Sweep) {
    this.#timeout = timeout
    this.#sweep = sweep
  }

  /** From the first write that was not taken at once; undefined where there is no limit. */
  watch(outgoing: Outgoing): SendPace | undefined {
    if (this.#timeout === 0) return undefined
    const pace = new SendPace(outgoing, this.#timeout, this.#sweep)
    pace.blocked()
    return pace
  }

  /** What is left of an answer that nobody else looks after any more. */
  watchRest(req: http.IncomingMessage, res: http.ServerResponse, outgoing: Omit<Outgoing, 'out' | 'connection'>): void {
    if (res.writableLength === 0) return
    const pace = this.watch({ ...outgoing, out: res, connection: req.socket })
    if (pace !== undefined) res.once('close', () => pace.end())
  }
}

/** How a client takes one answer. Looked at now and then; in between, what is written and taken costs nothing. */
export class SendPace implements Watched {
  deadline = 0
  place = -1
  readonly #outgoing: Outgoing
  readonly #timeout: number
  readonly #sweep: Sweep
  #taken: number | undefined
  #since = 0

  constructor(outgoing: Outgoing, timeout: number, sweep: Sweep) {
    this.#outgoing = outgoing
    this.#timeout = timeout
    this.#sweep = sweep
  }

  /** A write was not taken at once. */
  blocked(): void {
    if (this.place !== -1) return
    this.#restart(this.#sweep.clock.now())
    this.#sweep.add(this)
  }

  /** The answer is out, or given up. */
  end(): void {
    this.#sweep.delete(this)
  }

  due(now: number): void {
    const { out, connection, label, onLate } = this.#outgoing
    const taken = takenOf(connection)
    if (out.writableLength === 0 || taken === undefined) return this.end()
    // Behind others on its connection, its turn has not come.
    if (taken !== this.#taken || out.socket === null) return this.#restart(now)
    const late = now - this.#since
    if (late < this.#timeout) {
      this.#next(now)
      return
    }
    this.end()
    const message = `The client of '${label}' took nothing of its answer for ${formatDuration(Math.round(late))}; sendTimeout is ${formatDuration(this.#timeout)}`
    onLate(new TenantryError('ERR_SEND_TIMEOUT', message, { label }))
  }

  #restart(now: number): void {
    this.#taken = takenOf(this.#outgoing.connection)
    this.#since = now
    this.#next(now)
  }

  #next(now: number): void {
    this.deadline = Math.min(now + this.#timeout / LOOKS, this.#since + this.#timeout)
  }
}

/**
 * Bytes that the system has taken for this client. `writableLength` would not do: up to a whole window leaves in one
 * write, of which a slow client may take a little at a time. undefined for a closed connection, and for one that does
 * not tell, such as a Duplex that somebody serves as a socket.
 */
function takenOf(connection: net.Socket): number | undefined {
  let handle = (connection as { readonly _handle?: Handle | null })._handle ?? undefined
  while (handle?._parent !== undefined) handle = handle._parent
  const { bytesWritten, writeQueueSize } = handle ?? {}
  return bytesWritten === undefined || writeQueueSize === undefined ? undefined : bytesWritten - writeQueueSize
}
