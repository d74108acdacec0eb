import tls from 'node:tls'
import { handshakeError, parentOf } from '../connection/tls-handshake.ts'
import { TenantryError } from '../errors.ts'
import type net from 'node:net'
import type { HandedCertificate } from '../wire/handover.ts'

/** A context has one certificate, or two while it is renewed; more only where its group has many hosts. */
const MAX_SERVERS = 16

/** A connection on which a handshake begins. */
export interface SecuredConnection {
  /** It is done. */
  onSecure(socket: tls.TLSSocket): void
  /** It failed, and the connection is gone. `error`: where that is worth a word. */
  onFailure(error: TenantryError | undefined): void
}

/** TLS of connections that were handed over, by servers of node:tls that listen nowhere: one for each certificate. */
export class HandedTls {
  readonly #handshakeTimeout: number
  readonly #servers = new Map<number, tls.Server>()
  readonly #waiting = new WeakMap<net.Socket, SecuredConnection>()

  /** For a whole handshake, in milliseconds; 0 is off. */
  constructor(handshakeTimeout: number) {
    this.#handshakeTimeout = handshakeTimeout
  }

  /** `socket` has what was read of it in its own buffer. Answers once; never throws. */
  accept(socket: net.Socket, certificate: HandedCertificate, connection: SecuredConnection): void {
    this.#waiting.set(socket, connection)
    // It may be gone already, and a handshake may end without a word from node:tls: its client has left.
    if (socket.destroyed) return connection.onFailure(undefined)
    socket.once('close', () => this.#take(socket)?.onFailure(undefined))
    try {
      this.#serverOf(certificate).emit('connection', socket)
    } catch (error) {
      // The front has used the same certificate: this process has other rules, such as those of FIPS.
      const message = `This context cannot use its certificate: ${error instanceof Error ? error.message : String(error)}`
      this.#take(socket)?.onFailure(new TenantryError('ERR_TLS_HANDSHAKE', message))
      socket.destroy()
    }
  }

  #serverOf(certificate: HandedCertificate): tls.Server {
    const { id } = certificate
    let server = this.#servers.get(id)
    if (server !== undefined) return server
    server = this.#open(certificate)
    const [oldest] = this.#servers.keys()
    if (this.#servers.size >= MAX_SERVERS) this.#servers.delete(oldest as number)
    this.#servers.set(id, server)
    return server
  }

  #open({ cert, key, ticketKeys, minVersion }: HandedCertificate): tls.Server {
    const server = tls.createServer({
      cert,
      key,
      minVersion,
      ticketKeys: Buffer.from(ticketKeys, 'base64'),
      handshakeTimeout: this.#handshakeTimeout,
      // Clients that offer HTTP/2 stay in the front.
      ALPNProtocols: ['http/1.1'],
    })
    server.on('secureConnection', (socket) => {
      const below = parentOf(socket)
      if (below !== undefined) this.#take(below)?.onSecure(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      const below = parentOf(socket)
      if (below !== undefined) this.#take(below)?.onFailure(handshakeError(error))
      socket.destroy()
    })
    return server
  }

  #take(socket: net.Socket): SecuredConnection | undefined {
    const connection = this.#waiting.get(socket)
    this.#waiting.delete(socket)
    return connection
  }
}
