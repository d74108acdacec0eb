import { Buffer } from 'node:buffer'
import { countConnection } from './listen.ts'
import { nodeHttp } from './node-internals.ts'
import type http from 'node:http'
import type net from 'node:net'
import type { Application } from './application.ts'
import type { ClientConnection, ConnectionOwner } from './connection.ts'
import type { ExchangeTotals } from './exchange.ts'
import type { RequestInternals } from './node-internals.ts'
import type { Piece, ResetCode } from '../wire/frames.ts'
import type { RequestHead, RequestListener, TenantStream } from '../wire/tenant-channel.ts'

/**
 * An upgraded connection inside a context: the bytes of the stream are the bytes
 * of the socket, both ways, with back-pressure and half-close.
 */
export class Tunnel implements RequestListener, ConnectionOwner {
  readonly #stream: TenantStream
  readonly #connection: ClientConnection
  readonly #totals: ExchangeTotals
  readonly #server: http.Server | undefined
  #bytesIn = 0
  #bytesOut = 0
  #unread = 0
  #over = false

  private constructor(stream: TenantStream, connection: ClientConnection, totals: ExchangeTotals, server: http.Server | undefined) {
    this.#stream = stream
    this.#connection = connection
    this.#totals = totals
    this.#server = server
    // `server.close()` waits for it, as it waits for upgraded sockets.
    if (server !== undefined) countConnection(server, 1)
    connection.owner = this
    connection.once('close', () => this.#end())
    stream.listener = this
    totals.started()
  }

  static open(
    head: RequestHead,
    stream: TenantStream,
    connection: ClientConnection,
    application: Application,
    totals: ExchangeTotals,
  ): void {
    new Tunnel(stream, connection, totals, application.server)
    // An empty head tells the front that the stream is a tunnel from here on.
    stream.head('')
    const event = head.method === 'CONNECT' ? 'connect' : 'upgrade'
    const req = new nodeHttp.IncomingMessage(connection) as RequestInternals
    req.httpVersionMajor = 1
    req.httpVersionMinor = 1
    req.httpVersion = '1.1'
    req._addHeaderLines(head.rawHeaders, head.rawHeaders.length)
    req.method = head.method
    req.url = head.url
    req.upgrade = event === 'connect' || (application.server?.listenerCount('upgrade') ?? 0) > 0
    req.complete = true
    req.push(null)
    giveUpgrade(event, req, connection, Buffer.alloc(0), application)
  }

  get waitingBytes(): number {
    return this.#stream.waitingBytes
  }

  onData(piece: Piece): void {
    this.#connection.active()
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    this.#bytesIn += bytes.byteLength
    this.#unread += bytes.byteLength
    if (this.#connection.push(bytes)) this.read()
  }

  onEnd(): void {
    this.#connection.push(null)
  }

  onReset(_code: ResetCode): void {
    this.#connection.owner = undefined
    this.#connection.closeFromFront()
    this.#end()
  }

  onDrain(): void {}

  read(): void {
    const read = this.#unread
    this.#unread = 0
    if (read > 0) this.#stream.consumed(read)
  }

  write(bytes: Uint8Array, done: (error?: Error | null) => void): void {
    this.#connection.active()
    this.#bytesOut += bytes.byteLength
    this.#stream.write(bytes, () => done())
  }

  end(done: (error?: Error | null) => void): void {
    this.#stream.end(undefined)
    done()
  }

  onDestroy(): void {
    this.#stream.reset('destroyed')
    this.#end()
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    if (this.#server !== undefined) countConnection(this.#server, -1)
    this.#totals.ended(this.#bytesIn, this.#bytesOut)
  }
}

/** The application gets a connection that speaks HTTP no more; `head` is what came behind the request. */
export function giveUpgrade(
  event: 'upgrade' | 'connect', req: http.IncomingMessage, connection: net.Socket, head: Buffer, { server }: Application,
): void {
  if (server?.emit(event, req, connection, head) === true) return
  // As in node:http: a CONNECT that nobody wants is cut, an upgrade is an ordinary request.
  if (server === undefined || event === 'connect') connection.destroy()
  else answerPlainly(server, req, connection)
}

/** The answer goes out as node:http writes it, into the tunnel; the connection ends with it. */
function answerPlainly(server: http.Server, req: http.IncomingMessage, connection: net.Socket): void {
  const res = new nodeHttp.ServerResponse(req)
  res.shouldKeepAlive = false
  res.assignSocket(connection)
  res.once('finish', () => {
    res.detachSocket(connection)
    connection.end()
  })
  server.emit('request', req, res)
}
