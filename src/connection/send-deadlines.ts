import { TenantryError } from '../errors.ts'
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

  /** From the first write that was not taken at once to the end of the answer; undefined where there is no limit. */
  watch(outgoing: Outgoing): SendPace | undefined {
    if (this.#timeout === 0) return undefined
    const pace = new SendPace(outgoing, this.#timeout, this.#sweep)
    this.#sweep.add(pace)
    return pace
  }

  /** What is left of an answer that nobody else looks after any more. */
  watchRest(req: http.IncomingMessage, res: http.ServerResponse, outgoing: Omit<Outgoing, 'out' | 'connection'>): void {
    if (res.writableLength === 0) return
    const pace = this.watch({ ...outgoing, out: res, connection: req.socket })
    if (pace !== undefined) res.once('close', () => pace.end())
  }
}

/** How a client takes one answer. Looked at ten times in `sendTimeout`; what is written and taken costs nothing. */
export class SendPace implements Watched {
  deadline: number
  place = -1
  readonly #outgoing: Outgoing
  readonly #timeout: number
  readonly #sweep: Sweep
  #taken: number | undefined
  #since: number

  constructor(outgoing: Outgoing, timeout: number, sweep: Sweep) {
    this.#outgoing = outgoing
    this.#timeout = timeout
    this.#sweep = sweep
    this.#taken = takenOf(outgoing.connection)
    this.#since = sweep.clock.now()
    this.deadline = this.#since + timeout / LOOKS
  }

  /** The answer is out, or given up. */
  end(): void {
    this.#sweep.delete(this)
  }

  due(now: number): void {
    const { out, connection, label, onLate } = this.#outgoing
    const taken = takenOf(connection)
    if (taken === undefined) return this.end()
    // Without a socket it is behind others on its connection: its turn has not come.
    const isHeldBack = out.writableLength > 0 && out.socket !== null
    if (!isHeldBack || taken !== this.#taken) {
      this.#taken = taken
      this.#since = now
    }
    const late = now - this.#since
    this.deadline = Math.min(now + this.#timeout / LOOKS, this.#since + this.#timeout)
    if (late < this.#timeout) return
    this.end()
    const message = `The client of '${label}' took nothing of its answer for ${Math.round(late)} ms; sendTimeout is ${this.#timeout} ms`
    onLate(new TenantryError('ERR_SEND_TIMEOUT', message, { label }))
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
