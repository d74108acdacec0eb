import { once } from 'node:events'
import type http from 'node:http'
import type net from 'node:net'
import type { Clock } from '../clock.ts'

/** How late it may be noticed that the last answer has gone out. Milliseconds. */
const SWEEP_INTERVAL = 50

/**
 * The end of a server that Tenantry owns: no connection is accepted any more,
 * and each closes when its last answer is out.
 *
 * node:http takes a connection for idle as soon as its answer has ended, and
 * close() would destroy it with what a slow client has not read yet. So idle
 * connections are let go only while nothing waits to be written.
 */
export class ServerEnd {
  readonly #server: http.Server
  readonly #clock: Clock
  readonly #sockets = new Set<net.Socket>()

  constructor(server: http.Server, clock: Clock) {
    this.#server = server
    this.#clock = clock
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    const closeIdle = server.closeIdleConnections.bind(server)
    server.closeIdleConnections = () => {
      if ([...this.#sockets].every(({ writableLength }) => writableLength === 0)) closeIdle()
    }
  }

  /** Resolves when the last connection is gone. */
  async drain(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    const stop = this.#clock.every(SWEEP_INTERVAL, () => this.#server.closeIdleConnections())
    await closed
    stop()
  }

  /** Breaks off what is left. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
