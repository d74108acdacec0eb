import { Buffer } from 'node:buffer'
import { ReceiveWindow } from './receive-window.ts'
import { SendWindow } from './send-window.ts'
import type { TenantryError } from '../errors.ts'
import type { Piece, ResetCode } from './frames.ts'
import type { Outbox } from './outbox.ts'
import type { WindowPool } from './window-pool.ts'

/** What the front hears about one stream. Every text and byte is the context's: the receiver checks its meaning. */
export interface StreamListener {
  /** The response head, with the first piece of the body and whether that is all, where they came together; bits of HeadFlag. */
  onHead(text: string, piece: Piece | undefined, end: boolean, flags: number): void
  onData(piece: Piece, end: boolean): void
  onEnd(trailers: string | undefined): void
  onInfo(text: string): void
  /** More of the request's body may be sent. */
  onWritable(): void
  /** The context gave the stream up: no answer will follow, or, after its end, the rest of the request is not wanted. */
  onReset(code: ResetCode): void
  /** The context is gone or has broken the protocol. */
  onFailure(error: TenantryError): void
}

/** Whoever knows the streams by their numbers. */
export interface StreamKeeper {
  /** What all its streams share. */
  readonly pool: WindowPool
  /** Both directions are over. */
  forget(id: number): void
  /** Forgets it and tells the context. */
  reset(id: number, code: ResetCode): void
  /** Memory that the context may fill again. */
  giveBack(buffer: ArrayBuffer): void
}

/** One request on its way, seen from the front. */
export class FrontStream {
  readonly id: number
  readonly listener: StreamListener
  /** The head is here; a second one is a violation. */
  headSeen = false
  /** 1xx heads so far. */
  infos = 0
  /** The response is complete. The stream lives until the request is, too. */
  responseEnded = false
  requestEnded: boolean
  readonly #keeper: StreamKeeper
  readonly #outbox: Outbox
  // Made when they are needed: most requests have no body, and most answers fit into one frame.
  #send: SendWindow | undefined
  #receive: ReceiveWindow | undefined

  constructor(keeper: StreamKeeper, outbox: Outbox, id: number, requestEnded: boolean, listener: StreamListener) {
    this.id = id
    this.requestEnded = requestEnded
    this.listener = listener
    this.#keeper = keeper
    this.#outbox = outbox
  }

  /** A piece of the request's body; false: wait for `onWritable`. `own`: nobody else will look at it again. */
  write(piece: Uint8Array, own = false): boolean {
    const send = (this.#send ??= new SendWindow(this.#outbox, this.id, this.#keeper.pool))
    return send.write(piece, undefined, own)
  }

  /** The request's body is complete. */
  end(rawTrailers: readonly string[] | undefined): void {
    const send = (this.#send ??= new SendWindow(this.#outbox, this.id, this.#keeper.pool))
    send.end(rawTrailers)
    this.requestEnded = true
    if (!this.responseEnded) return
    this.#keeper.forget(this.id)
    this.close()
  }

  /** `bytes` of the response have left for the client. */
  consumed(bytes: number): void {
    if (!this.responseEnded) this.#receive?.consumed(bytes)
  }

  /** The memory of a full piece that has left for the client and that nobody else holds. */
  giveBack(buffer: ArrayBuffer): void {
    this.#keeper.giveBack(buffer)
  }

  /** Gives the stream up; the listener hears nothing more. */
  reset(code: ResetCode): void {
    this.close()
    this.#keeper.reset(this.id, code)
  }

  /** The channel's business: counts against the window. */
  received(piece: Piece, end: boolean): boolean {
    // The first piece is never larger than a window.
    if (end && this.#receive === undefined) return true
    const receive = (this.#receive ??= new ReceiveWindow(this.#outbox, this.id, this.#keeper.pool))
    return receive.receive(pieceLength(piece))
  }

  /** False when it is more than was sent: such credit would let bytes pile up on the way. */
  granted(bytes: number): boolean {
    const send = this.#send
    if (send?.allows(bytes) !== true) return false
    if (send.grant(bytes)) this.listener.onWritable()
    return true
  }

  /** It is over, finished or not. */
  close(): void {
    this.#send?.drop()
    this.#receive?.close()
  }
}

/** The bytes a piece has on the wire to the client. */
export function pieceLength(piece: Piece): number {
  return typeof piece === 'string' ? Buffer.byteLength(piece) : piece.byteLength
}
