import { Flag, HeadFlag, Kind, MAX_HEAD, MAX_INFOS, MAX_PIECE, MAX_REFUSED_TEXT, PROTOCOL_VERSION, RESET_CODES } from './frames.ts'
import { FrontStream } from './front-stream.ts'
import { readErrorRecord } from './error-record.ts'
import { FrameReader } from './frame-reader.ts'
import { Outbox } from './outbox.ts'
import { Slots } from './slots.ts'
import { WindowPool } from './window-pool.ts'
import type { TenantryError } from '../errors.ts'
import type { Carrier } from './carrier.ts'
import type { Batch, ConnectionFacts, ErrorRecord, LoadRequest, Piece, ResetCode } from './frames.ts'
import type { StreamKeeper, StreamListener } from './front-stream.ts'
import type { HandedRefusal } from './held.ts'

/** What the front hears about the context itself. */
export interface ContextListener {
  onHello(): void
  onReady(kinds: readonly string[]): void
  onFailed(error: ErrorRecord): void
  /** On a connection that was handed over. */
  onRefused(refusal: HandedRefusal): void
  /** A frame that no honest context sends: the context must end. */
  onViolation(what: string): void
}

/** A request's head as it crosses. */
export interface OpenHead {
  readonly connection: number
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  /** Bits of Flag. */
  readonly flags: number
  /** Index into the context's mounts. */
  readonly mount: number
  /** No body follows. */
  readonly end: boolean
}

/**
 * The front's end of one context's relay: makes streams, takes frames apart.
 *
 * Everything that arrives is hostile: each field is checked for its type and
 * its size before it is used, and a frame that no honest context sends ends the
 * context. Frames for a stream that the front has closed are late, not wrong.
 */
export class FrontChannel implements StreamKeeper {
  readonly pool: WindowPool
  readonly #outbox: Outbox
  readonly #listener: ContextListener
  readonly #streams = new Slots<FrontStream>()
  readonly #connections = new Slots<() => void>()
  readonly #reader: FrameReader
  #closed: TenantryError | undefined
  /** In this turn's frame for it, if that is the turn it was pushed in. */
  #memory: ArrayBuffer[] = []
  #memoryTurn = -1

  /** `bufferLimit`: bytes that its streams may have under way beyond their first windows. */
  constructor(carrier: Carrier, listener: ContextListener, bufferLimit = Infinity) {
    this.#outbox = new Outbox(carrier)
    this.#listener = listener
    this.pool = new WindowPool(bufferLimit)
    this.#reader = new FrameReader((batch, at) => this.#read(batch, at), (what) => listener.onViolation(what))
  }

  /** Requests under way. */
  get size(): number {
    return this.#streams.size
  }

  load(request: LoadRequest): void {
    this.#outbox.batch.push(Kind.LOAD, request)
  }

  drain(): void {
    this.#outbox.batch.push(Kind.DRAIN)
  }

  /**
   * Makes a client's connection known; its number goes into every request on it.
   * `onDisconnect` runs when the application closes it between requests.
   */
  connect(facts: ConnectionFacts, onDisconnect: () => void): number {
    const connection = this.#connections.next()
    this.#connections.put(connection, onDisconnect)
    this.#outbox.batch.push(Kind.CONNECTION, connection, facts)
    return connection
  }

  /** The client's connection is gone, or serves another context now. */
  disconnect(connection: number): void {
    if (this.#connections.delete(connection)) this.#outbox.batch.push(Kind.DISCONNECT, connection)
  }

  open(head: OpenHead, listener: StreamListener): FrontStream {
    if (this.#closed !== undefined) throw this.#closed
    const id = this.#streams.next()
    const stream = new FrontStream(this, this.#outbox, id, head.end, listener)
    this.#streams.put(id, stream)
    this.#outbox.batch.push(
      Kind.OPEN,
      id,
      head.end ? 1 : 0,
      head.connection,
      head.method,
      head.url,
      head.rawHeaders,
      head.flags,
      head.mount,
    )
    return stream
  }

  forget(id: number): void {
    this.#streams.delete(id)
  }

  reset(id: number, code: ResetCode): void {
    if (this.#streams.delete(id)) this.#outbox.batch.push(Kind.RESET, id, code)
  }

  /** Memory goes back to the context that made it, or serves its next answers here, and no other's: nobody has wiped it. */
  giveBack(buffer: ArrayBuffer): void {
    if (this.#closed !== undefined || buffer.byteLength !== MAX_PIECE) return
    if (!this.#outbox.movesMemory) return this.#outbox.memory.put([buffer])
    const { batch, turn } = this.#outbox
    if (this.#memoryTurn !== turn) {
      this.#memory = []
      this.#memoryTurn = turn
      batch.push(Kind.MEMORY, this.#memory)
    }
    this.#memory.push(buffer)
    this.#outbox.transfer(buffer)
  }

  /** Fails every stream: the context is gone. */
  close(error: TenantryError): void {
    if (this.#closed !== undefined) return
    this.#closed = error
    this.#reader.stop()
    for (const stream of this.#streams.values()) {
      this.#streams.delete(stream.id)
      stream.close()
      stream.listener.onFailure(error)
    }
  }

  /** Reads one batch from the context. */
  receive(batch: unknown): void {
    this.#reader.receive(batch)
  }

  /** Reads what waits for a later turn: the context is gone, and so is the reason to spare its neighbours. */
  settle(): void {
    this.#reader.finish()
  }

  /** False when the frame is not one that an honest context sends. */
  #read(batch: Batch, at: number): boolean {
    const id = batch[at + 1]
    switch (batch[at]) {
      case Kind.HEAD:
        return this.#readHead(batch, at)
      case Kind.DATA: {
        const end = batch[at + 2]
        const piece = batch[at + 3]
        const stream = this.#find(id)
        if (stream === undefined) return this.#isLate(id)
        if (!stream.headSeen || stream.responseEnded || !isPiece(piece) || !stream.received(piece, end === 1)) return false
        if (end === 1) this.#finish(stream)
        stream.listener.onData(piece, end === 1)
        return true
      }
      case Kind.END: {
        const trailers = batch[at + 2]
        const stream = this.#find(id)
        if (stream === undefined) return this.#isLate(id)
        if (!stream.headSeen || stream.responseEnded || !(trailers === undefined || isText(trailers, MAX_HEAD))) return false
        this.#finish(stream)
        stream.listener.onEnd(trailers)
        return true
      }
      case Kind.CREDIT: {
        const bytes = batch[at + 2]
        const stream = this.#find(id)
        if (stream === undefined) return this.#isLate(id)
        if (!Number.isSafeInteger(bytes) || (bytes as number) <= 0) return false
        return stream.granted(bytes as number)
      }
      case Kind.RESET: {
        const code = batch[at + 2]
        const stream = this.#find(id)
        if (stream === undefined) return this.#isLate(id)
        if (!RESET_CODES.includes(code as ResetCode)) return false
        stream.close()
        this.#streams.delete(stream.id)
        stream.listener.onReset(code as ResetCode)
        return true
      }
      case Kind.INFO: {
        const text = batch[at + 2]
        const stream = this.#find(id)
        if (stream === undefined) return this.#isLate(id)
        if (stream.headSeen || ++stream.infos > MAX_INFOS || !isText(text, MAX_HEAD)) return false
        stream.listener.onInfo(text)
        return true
      }
      case Kind.REFUSED:
        return this.#readRefused(batch.slice(at + 1, at + 7))
      default:
        return this.#readAboutContext(batch[at], id)
    }
  }

  #readHead(batch: Batch, at: number): boolean {
    const id = batch[at + 1]
    const flags = batch[at + 2]
    const piece = batch[at + 3]
    const text = batch[at + 4]
    const stream = this.#find(id)
    if (stream === undefined) return this.#isLate(id)
    if (stream.headSeen || typeof flags !== 'number' || !isText(text, MAX_HEAD)) return false
    const end = (flags & HeadFlag.END) !== 0
    if (piece !== undefined && (!isPiece(piece) || !stream.received(piece, end))) return false
    stream.headSeen = true
    if (end) this.#finish(stream)
    stream.listener.onHead(text, piece, end, flags)
    return true
  }

  #readAboutContext(kind: unknown, value: unknown): boolean {
    switch (kind) {
      case Kind.DISCONNECT: {
        if (!Number.isSafeInteger(value)) return false
        const onDisconnect = this.#connections.get(value as number)
        this.#connections.delete(value as number)
        onDisconnect?.()
        return true
      }
      case Kind.HELLO: {
        if (value !== PROTOCOL_VERSION) return false
        this.#listener.onHello()
        return true
      }
      case Kind.READY: {
        if (!Array.isArray(value) || value.length > 1024 || !value.every((name) => isText(name, 64))) return false
        this.#listener.onReady(value)
        return true
      }
      case Kind.FAILED: {
        const error = readErrorRecord(value)
        if (error === undefined) return false
        this.#listener.onFailed(error)
        return true
      }
      default:
        return false
    }
  }

  #readRefused(fields: readonly unknown[]): boolean {
    if (!fields.every((field) => isText(field, MAX_REFUSED_TEXT))) return false
    const [code, message, host, peer, method, outcome] = fields as [string, string, string, string, string, string]
    if (outcome !== 'refused' && outcome !== 'failed' && outcome !== 'truncated') return false
    this.#listener.onRefused({ code, message, host, peer, method, outcome })
    return true
  }

  #find(id: unknown): FrontStream | undefined {
    // The type first: an object here could throw when it is taken for a number.
    return typeof id === 'number' ? this.#streams.get(id) : undefined
  }

  /** A stream that we opened once and have closed since. */
  #isLate(id: unknown): boolean {
    return this.#streams.knows(id as number)
  }

  #finish(stream: FrontStream): void {
    stream.responseEnded = true
    if (!stream.requestEnded) return
    this.#streams.delete(stream.id)
    stream.close()
  }
}

/** Flags of a request's head. */
export function flagsOf(http11: boolean, keepAlive: boolean, upgrade: boolean, expectContinue: boolean, lastRequest = false): number {
  return (
    (http11 ? Flag.HTTP_1_1 : 0) |
    (keepAlive ? Flag.KEEP_ALIVE : 0) |
    (upgrade ? Flag.UPGRADE : 0) |
    (expectContinue ? Flag.EXPECT_CONTINUE : 0) |
    (lastRequest ? Flag.LAST_REQUEST : 0)
  )
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length <= longest
}

function isPiece(value: unknown): value is Piece {
  if (typeof value === 'string') return value.length <= MAX_PIECE
  if (!(value instanceof Uint8Array)) return false
  // A view of a larger buffer would hold memory that no window counts.
  return value.byteLength <= MAX_PIECE && value.buffer.byteLength === value.byteLength
}
