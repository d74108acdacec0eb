import { once } from 'node:events'
import tls from 'node:tls'
import { parentOf } from '../connection/tls-handshake.ts'
import type http from 'node:http'
import type http2 from 'node:http2'
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
  /** What answers are written to. */
  readonly #sockets = new Set<net.Socket>()
  /** Connections on which nothing can be asked yet. */
  readonly #handshakes = new Set<net.Socket>()
  readonly #sessions = new Set<http2.ServerHttp2Session>()
  #isDraining = false

  constructor(server: http.Server, clock: Clock) {
    this.#server = server
    this.#clock = clock
    const isSecure = server instanceof tls.Server
    server.on('connection', (socket) => keepWhileOpen(isSecure ? this.#handshakes : this.#sockets, socket))
    server.on('secureConnection', (socket: tls.TLSSocket) => {
      const below = parentOf(socket)
      if (below !== undefined) this.#handshakes.delete(below)
      if (this.#isDraining) socket.destroy()
      else keepWhileOpen(this.#sockets, socket)
    })
    server.on('session', (session: http2.ServerHttp2Session) => {
      keepWhileOpen(this.#sessions, session)
      if (this.#isDraining) session.close()
    })
    const closeIdle = server.closeIdleConnections.bind(server)
    server.closeIdleConnections = () => {
      if ([...this.#sockets].every(({ writableLength }) => writableLength === 0)) closeIdle()
    }
  }

  /** Resolves when the last connection is gone. */
  async drain(): Promise<void> {
    this.#isDraining = true
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#handshakes) socket.destroy()
    // node:http counts a connection as busy on which nothing has come yet.
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy()
    // GOAWAY: its open streams are finished, no new one begins.
    for (const session of this.#sessions) session.close()
    const stop = this.#clock.every(SWEEP_INTERVAL, () => this.#server.closeIdleConnections())
    await closed
    // A connection that a context gave back is none of those that node:net waits for.
    await Promise.all([...this.#handshakes, ...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))))
    stop()
  }

  /** Breaks off what is left. */
  cut(): void {
    for (const socket of [...this.#handshakes, ...this.#sockets]) socket.destroy()
    for (const session of this.#sessions) session.destroy()
  }
}

function keepWhileOpen<T extends { once(event: 'close', listener: () => void): unknown }>(all: Set<T>, item: T): void {
  all.add(item)
  item.once('close', () => all.delete(item))
}
