import { Buffer } from 'node:buffer'
import net from 'node:net'
import type http from 'node:http'
import type { ConnectionFacts } from '../wire/frames.ts'

/** What owns a connection's bytes: one request at a time, or a tunnel after an upgrade. */
export interface ConnectionOwner {
  /** Bytes on the way to the client that wait for it to read. */
  readonly waitingBytes: number
  /** The application destroyed the socket. */
  onDestroy(): void
  /** A tunnel's bytes to the client; undefined on a plain request, where the response is the only way out. */
  write?(bytes: Uint8Array, done: (error?: Error | null) => void): void
  end?(done: (error?: Error | null) => void): void
  /** The tunnel's reader wants more. */
  read?(): void
}

/**
 * A client's connection as an application sees it: a real net.Socket without a
 * descriptor, with the client's true addresses and TLS facts. It lives as long
 * as the client's own connection, so keep-alive requests share it as they do
 * behind node:http.
 */
export class ClientConnection extends net.Socket {
  readonly facts: ConnectionFacts
  owner: ConnectionOwner | undefined
  declare server?: http.Server
  declare _httpMessage: http.ServerResponse | null
  declare _unrefTimer: () => void
  /** Set by TLS sockets only, and looked at by nearly every framework. */
  declare encrypted?: true
  declare servername?: string | undefined
  declare alpnProtocol?: string | false | undefined
  readonly #onGone: (connection: ClientConnection) => void
  #remoteEnded = false
  #waitingBytes = 0

  constructor(facts: ConnectionFacts, onGone: (connection: ClientConnection) => void) {
    super({ allowHalfOpen: true })
    this.facts = facts
    this.#onGone = onGone
    this._httpMessage = null
    if (facts.encrypted) {
      this.encrypted = true
      this.servername = facts.servername
      this.alpnProtocol = facts.alpnProtocol
    }
    // node:http destroys a socket that timed out unless somebody listens.
    this.on('timeout', onTimeout)
    this.on('error', ignoreError)
  }

  override address(): net.AddressInfo | Record<string, never> {
    const { localAddress, localPort, remoteFamily } = this.facts
    return localAddress === undefined || localPort === undefined
      ? {}
      : { address: localAddress, port: localPort, family: remoteFamily ?? 'IPv4' }
  }

  /** TLS sockets have it; undefined behind plain HTTP, as there. */
  getProtocol(): string | null {
    return this.facts.tlsProtocol ?? null
  }

  override _read(): void {
    this.owner?.read?.()
  }

  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
    if (this.owner?.write !== undefined) this.owner.write(bytes, done)
    else done(new Error('Only the response may write to this connection: it carries HTTP, not a tunnel'))
  }

  /** net.Socket has one for its descriptor; Writable would prefer it. */
  override _writev(
    chunks: { chunk: Uint8Array | string; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    const bytes = chunks.map(({ chunk, encoding }) => (typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk))
    this._write(Buffer.concat(bytes), 'utf8', done)
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.owner?.end !== undefined) this.owner.end(done)
    else {
      done()
      // node:http's clients see the connection close when the application ends it between answers.
      if (this._httpMessage === null) this.destroy()
    }
  }

  /** Bytes have moved: an idle timeout begins anew, as on a socket with a descriptor. */
  active(): void {
    if (this.timeout) this._unrefTimer()
  }

  /** As net.Socket does with its descriptor's queue: while data still leaves, nothing is idle. */
  _onTimeout(): void {
    const waiting = this.owner?.waitingBytes ?? 0
    const moves = waiting > 0 && waiting !== this.#waitingBytes
    this.#waitingBytes = waiting
    if (moves) this._unrefTimer()
    else this.emit('timeout')
  }

  override destroySoon(): void {
    if (this.writable) this.end()
    else this.destroy()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const owner = this.owner
    this.owner = undefined
    if (!this.#remoteEnded) {
      if (owner === undefined) this.#onGone(this)
      else owner.onDestroy()
    }
    super._destroy(error, done)
  }

  /** The client's connection is gone: close without telling the front what it knows. */
  closeFromFront(): void {
    this.#remoteEnded = true
    this.destroy()
  }
}

/** net.Socket asks its descriptor for these; there is none, and the front knows the answers. */
const ADDRESSES = {
  remoteAddress: 'remoteAddress',
  remotePort: 'remotePort',
  remoteFamily: 'remoteFamily',
  localAddress: 'localAddress',
  localPort: 'localPort',
  localFamily: 'remoteFamily',
} as const

for (const [name, fact] of Object.entries(ADDRESSES)) {
  Object.defineProperty(ClientConnection.prototype, name, {
    configurable: true,
    enumerable: true,
    get(this: ClientConnection) {
      return this.facts[fact]
    },
  })
}
Object.defineProperty(ClientConnection.prototype, 'pending', { configurable: true, enumerable: true, get: () => false })

function onTimeout(this: ClientConnection): void {
  const response = this._httpMessage
  // Each of them hears of it, whoever else does.
  const request = response?.req.complete === false && response.req.emit('timeout', this)
  const answer = response?.emit('timeout', this) === true
  const server = this.server?.emit('timeout', this) === true
  if (!request && !answer && !server) this.destroy()
}

/** A reset is the client's business: without a listener it would be an uncaught exception, which node:http avoids, too. */
function ignoreError(): void {}
