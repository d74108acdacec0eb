import type http from 'node:http'
import { requestError, requestFinish, requestStart } from '../events.ts'
import { flagsOf } from '../wire/front-channel.ts'
import { pieceLength } from '../wire/front-stream.ts'
import { streamNumber } from './connections.ts'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import type { TenantryError } from '../errors.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { FrontChannel } from '../wire/front-channel.ts'
import type { FrontStream, StreamListener } from '../wire/front-stream.ts'
import type { SendDeadlines, SendPace } from '../connection/send-deadlines.ts'
import type { Piece } from '../wire/frames.ts'

export interface TunnelTask {
  readonly lease: Lease
  readonly mount: number
  readonly client: ClientFacts
  readonly requestId: number
  readonly sends: SendDeadlines
}

/**
 * An upgraded connection (WebSocket or any other protocol) through the relay:
 * the application writes its own answer, so from the first byte on the front
 * only moves bytes, with back-pressure and half-close both ways.
 */
export class FrontTunnel implements StreamListener {
  readonly #socket: Duplex
  /** The one below, where the tunnel is a stream of HTTP/2. */
  readonly #connectionSocket: net.Socket
  readonly #task: TunnelTask
  readonly #method: string
  readonly #channel: FrontChannel
  readonly #stream: FrontStream
  readonly #connection: number
  #unwritten = 0
  #sending: SendPace | undefined
  #over = false

  constructor(req: http.IncomingMessage, socket: Duplex, head: Buffer, task: TunnelTask) {
    this.#socket = socket
    this.#connectionSocket = req.socket
    this.#task = task
    this.#method = req.method as string
    this.#channel = task.lease.context.channel
    this.#connection = streamNumber(req, this.#channel, task.client)
    this.#stream = this.#channel.open(
      {
        connection: this.#connection,
        method: this.#method,
        url: req.url as string,
        rawHeaders: req.rawHeaders,
        flags: flagsOf(true, false, true, false),
        mount: task.mount,
        end: false,
      },
      this,
    )
    if (requestStart.watched) requestStart.publish(this.#facts())
    if (head.byteLength > 0) this.#stream.write(head)
    socket.on('data', (chunk: Uint8Array) => {
      if (!this.#stream.write(chunk)) socket.pause()
    })
    // A client may have ended its half while its group started.
    if (socket.readableEnded) this.#stream.end(undefined)
    else socket.on('end', () => this.#stream.end(undefined))
    socket.on('close', () => this.#closed())
    socket.on('drain', () => this.#drained())
    const { setTimeout: setIdleTimeout } = socket as { setTimeout?: (milliseconds: number) => void }
    // The application decides about idle tunnels, not the front's keep-alive.
    setIdleTimeout?.call(socket, 0)
    socket.resume()
  }

  onHead(_text: string, piece: Piece | undefined, end: boolean): void {
    if (piece !== undefined) this.onData(piece, end)
    else if (end) this.onEnd()
  }

  onData(piece: Piece, end: boolean): void {
    const bytes = pieceLength(piece)
    if (this.#socket.write(piece)) this.#stream.consumed(bytes)
    else {
      this.#unwritten += bytes
      this.#blocked()
    }
    if (end) this.onEnd()
  }

  /** The application has ended its half; the client may go on. */
  onEnd(): void {
    this.#socket.end()
  }

  onInfo(): void {}

  onWritable(): void {
    this.#socket.resume()
  }

  onReset(): void {
    this.#settle(undefined)
    this.#socket.destroy()
  }

  onFailure(error: TenantryError): void {
    this.#settle(error)
    this.#socket.destroy()
  }

  #blocked(): void {
    this.#sending ??= this.#task.sends.watch({
      label: this.#task.lease.label,
      out: this.#socket,
      connection: this.#connectionSocket,
      onLate: (error) => this.#giveUp(error),
    })
  }

  #giveUp(error: TenantryError): void {
    this.#stream.reset('client-gone')
    this.onFailure(error)
  }

  #drained(): void {
    const bytes = this.#unwritten
    this.#unwritten = 0
    if (bytes > 0) this.#stream.consumed(bytes)
  }

  #closed(): void {
    if (!this.#over) this.#stream.reset('client-gone')
    this.#settle(undefined)
  }

  #settle(error: TenantryError | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#sending?.end()
    this.#channel.disconnect(this.#connection)
    this.#task.lease.release(error === undefined)
    if (error !== undefined) {
      if (requestError.watched) {
        requestError.publish({ ...this.#facts(), code: error.code, truncated: true, error })
      }
    } else if (requestFinish.watched) {
      requestFinish.publish({ ...this.#facts(), statusCode: 101, responseTime: 0 })
    }
  }

  #facts(): { label: string; contextId: number; requestId: number; method: string } {
    const { lease, requestId } = this.#task
    return { label: lease.label, contextId: lease.context.id, requestId, method: this.#method }
  }
}
