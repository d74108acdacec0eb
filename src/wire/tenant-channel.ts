import { FRAME_LENGTH, Kind, MAX_INFOS, MAX_REFUSED_TEXT, PROTOCOL_VERSION } from './frames.ts'
import { Outbox } from './outbox.ts'
import { ReceiveWindow } from './receive-window.ts'
import { SendWindow } from './send-window.ts'
import { Slots } from './slots.ts'
import type { Carrier } from './carrier.ts'
import type { Batch, ConnectionFacts, ErrorRecord, LoadRequest, Piece, ResetCode } from './frames.ts'
import type { HandedRefusal } from './held.ts'

/** What a context hears about one request. */
export interface RequestListener {
  onData(piece: Piece): void
  onEnd(rawTrailers: readonly string[] | undefined): void
  onReset(code: ResetCode): void
  /** What waited for credit has been sent. */
  onDrain(): void
}

/** A request's head as it arrives in a context. */
export interface RequestHead {
  readonly connection: number
  readonly method: string
  readonly url: string
  readonly rawHeaders: string[]
  readonly flags: number
  readonly mount: number
  readonly hasBody: boolean
}

/** What a context hears from its front. */
export interface FrontListener {
  onLoad(request: LoadRequest): void
  onConnection(connection: number, facts: ConnectionFacts): void
  onDisconnect(connection: number): void
  onRequest(head: RequestHead, stream: TenantStream): void
  onDrain(): void
}

/** One request, seen from the context. */
export class TenantStream {
  readonly id: number
  listener: RequestListener | undefined
  readonly #channel: TenantChannel
  readonly #outbox: Outbox
  readonly #send: SendWindow
  /** Made for the first byte of a body: most requests have none. */
  #receive: ReceiveWindow | undefined
  #requestEnded: boolean
  #responseEnded = false
  #infos = 0
  #ending: { readonly trailers: string | undefined } | undefined

  constructor(channel: TenantChannel, outbox: Outbox, id: number, requestEnded: boolean) {
    this.id = id
    this.#requestEnded = requestEnded
    this.#channel = channel
    this.#outbox = outbox
    this.#send = new SendWindow(outbox, id)
  }

  get waitingBytes(): number {
    return this.#send.waitingBytes
  }

  /** The response head, as text, with bits of HeadFlag; body data of the same turn rides along. */
  head(text: string, flags = 0): void {
    this.#send.lead(text, flags)
  }

  /** A 1xx head. */
  info(text: string): void {
    if (++this.#infos > MAX_INFOS) return
    this.#outbox.batch.push(Kind.INFO, this.id, text)
  }

  /** A piece of the response; false: wait for `onDrain`. */
  write(piece: Piece, sent?: () => void): boolean {
    return this.#send.write(piece, sent)
  }

  /** The response is complete; what still waits for credit goes first. */
  end(trailers: string | undefined): void {
    if (this.#send.waitingBytes > 0) {
      this.#ending = { trailers }
      return
    }
    this.#ending = undefined
    this.#responseEnded = true
    this.#send.end(trailers)
    if (this.#requestEnded) this.#channel.forget(this.id)
  }

  /** `bytes` of the request's body have been read. */
  consumed(bytes: number): void {
    this.#receive ??= new ReceiveWindow(this.#outbox, this.id)
    this.#receive.consumed(bytes)
  }

  /** Gives the stream up: the client sees a truncated answer, or after `end`, the rest of the request is not wanted. */
  reset(code: ResetCode): void {
    if (!this.#channel.forget(this.id)) return
    this.#send.drop()
    this.#outbox.batch.push(Kind.RESET, this.id, code)
  }

  /** The channel's business. */
  granted(bytes: number): void {
    if (!this.#send.grant(bytes)) return
    if (this.#ending === undefined) this.listener?.onDrain()
    else this.end(this.#ending.trailers)
  }

  received(piece: Piece): void {
    this.listener?.onData(piece)
  }

  receivedEnd(rawTrailers: readonly string[] | undefined): void {
    this.#requestEnded = true
    if (this.#responseEnded) this.#channel.forget(this.id)
    this.listener?.onEnd(rawTrailers)
  }

  closed(code: ResetCode): void {
    this.#send.drop()
    this.listener?.onReset(code)
  }
}

/** The context's end of the relay. What arrives comes from the front, which is trusted. */
export class TenantChannel {
  readonly #outbox: Outbox
  readonly #listener: FrontListener
  readonly #streams = new Slots<TenantStream>()

  constructor(carrier: Carrier, listener: FrontListener) {
    this.#outbox = new Outbox(carrier)
    this.#listener = listener
  }

  /** Requests under way. */
  get size(): number {
    return this.#streams.size
  }

  hello(): void {
    this.#outbox.batch.push(Kind.HELLO, PROTOCOL_VERSION)
    this.#outbox.flush()
  }

  ready(kinds: readonly string[]): void {
    this.#outbox.batch.push(Kind.READY, kinds)
  }

  failed(error: ErrorRecord): void {
    this.#outbox.batch.push(Kind.FAILED, error)
    this.#outbox.flush()
  }

  /** The application wants its client's connection closed. */
  disconnect(connection: number): void {
    this.#outbox.batch.push(Kind.DISCONNECT, connection)
  }

  refused({ code, message, host, peer, method, outcome }: HandedRefusal): void {
    const [text, name, who] = [message, host, peer].map((part) => part.slice(0, MAX_REFUSED_TEXT))
    this.#outbox.batch.push(Kind.REFUSED, code, text, name, who, method, outcome)
  }

  /** True while the stream was known. */
  forget(id: number): boolean {
    return this.#streams.delete(id)
  }

  flush(): void {
    this.#outbox.flush()
  }

  receive(message: unknown): void {
    const batch = message as Batch
    for (let at = 0; at < batch.length; at += FRAME_LENGTH[batch[at] as number] as number) {
      try {
        this.#read(batch, at)
      } catch (error) {
        // A handler's throw is uncaught, as behind node:http; to an application that catches
        // uncaught exceptions it must not cost the other requests of the batch.
        process.nextTick(() => {
          throw error
        })
      }
    }
  }

  #read(batch: Batch, at: number): void {
    const id = batch[at + 1] as number
    switch (batch[at]) {
      case Kind.OPEN: {
        const stream = new TenantStream(this, this.#outbox, id, batch[at + 2] === 1)
        this.#streams.put(id, stream)
        const head: RequestHead = {
          hasBody: batch[at + 2] === 0,
          connection: batch[at + 3] as number,
          method: batch[at + 4] as string,
          url: batch[at + 5] as string,
          rawHeaders: batch[at + 6] as string[],
          flags: batch[at + 7] as number,
          mount: batch[at + 8] as number,
        }
        this.#listener.onRequest(head, stream)
        break
      }
      case Kind.DATA: {
        const stream = this.#streams.get(id)
        if (stream === undefined) break
        stream.received(batch[at + 3] as Piece)
        if (batch[at + 2] === 1) stream.receivedEnd(undefined)
        break
      }
      case Kind.END:
        this.#streams.get(id)?.receivedEnd(batch[at + 2] as string[] | undefined)
        break
      case Kind.CREDIT:
        this.#streams.get(id)?.granted(batch[at + 2] as number)
        break
      case Kind.RESET: {
        const stream = this.#streams.get(id)
        this.#streams.delete(id)
        stream?.closed(batch[at + 2] as ResetCode)
        break
      }
      case Kind.LOAD:
        this.#listener.onLoad(batch[at + 1] as LoadRequest)
        break
      case Kind.CONNECTION:
        this.#listener.onConnection(id, batch[at + 2] as ConnectionFacts)
        break
      case Kind.DISCONNECT:
        this.#listener.onDisconnect(id)
        break
      case Kind.DRAIN:
        this.#listener.onDrain()
        break
      case Kind.MEMORY:
        this.#outbox.memory.put(batch[at + 1] as ArrayBuffer[])
        break
    }
  }
}
