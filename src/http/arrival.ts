import { asTenantryError, TenantryError } from '../errors.ts'
import { publish } from '../events.ts'
import { refuseFirstRequest } from './early-refusal.ts'
import type net from 'node:net'
import type { GroupTarget, Lease } from '../group/lease.ts'
import type { CancelWait, Waiting } from '../group/wait-queue.ts'
import type { RelayReason } from './lane-choice.ts'
import type { Destination, Opening, ReadOpening } from './opening.ts'
import type { Watched } from '../connection/sweep.ts'

/** What is kept of a client's bytes while its group starts; the kernel keeps what comes after them. Bytes. */
const MAX_KEPT = 65_536

/** Who decides about connections that have just been accepted. */
export interface ArrivalHost {
  readonly read: ReadOpening
  acquire(target: GroupTarget, who: Waiting): Lease | Promise<Lease>
  /** It waits for its first bytes no more. */
  onSpoken(arrival: Arrival): void
  /** It has left, or has its lane. */
  onOver(arrival: Arrival): void
  onHandedOver(lease: Lease, socket: net.Socket): void
  /** Its context died and never opened it. Bound. */
  readonly onReturned: (socket: net.Socket) => void
  /** The connection stays here: it is paused, and its bytes can be read again. */
  onStay(socket: net.Socket, reason: RelayReason): void
}

/**
 * A connection from its accept to its lane. It holds the first bytes, is handed
 * over, or stays in the front with its bytes put back, unless its client leaves.
 */
export class Arrival implements Watched, Waiting {
  deadline: number
  place = -1
  readonly #socket: net.Socket
  readonly #host: ArrivalHost
  #isRead = false
  #kept: Buffer[] = []
  #size = 0
  #cancel: CancelWait | undefined
  #isOver = false

  constructor(socket: net.Socket, host: ArrivalHost, deadline: number) {
    this.#socket = socket
    this.#host = host
    this.deadline = deadline
    socket.on('error', this.#onError)
    socket.on('close', this.#leave)
    socket.on('end', this.#onEnd)
    socket.on('data', this.#onData)
  }

  /** Nothing was asked yet. */
  get isSilent(): boolean {
    return !this.#isRead
  }

  /** Has sent nothing for too long, or only a part of what it began. */
  due(): void {
    if (this.#size > 0) {
      const message = 'The first message of a connection took longer than headerTimeout'
      publish('tenantry:admission:refuse', { host: '', code: 'ERR_READ_TIMEOUT', message })
    }
    this.close()
  }

  /** Breaks it off. */
  close(): void {
    this.#leave()
  }

  onWait(cancel: CancelWait): void {
    this.#cancel = cancel
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#kept.push(bytes)
    this.#size += bytes.length
    if (this.#isRead) {
      if (this.#size >= MAX_KEPT) this.#socket.pause()
      return
    }
    try {
      const opening = this.#host.read(this.#socket, this.#bytes())
      if (opening === 'partial') return
      this.#isRead = true
      this.#host.onSpoken(this)
      if (opening instanceof Promise) opening.then((late) => this.#acquire(late)).catch(this.#refuse)
      else this.#acquire(opening)
    } catch (error) {
      if (!this.#isRead) this.#host.onSpoken(this)
      this.#refuse(error)
    }
  }

  #bytes(): Buffer {
    return this.#kept.length === 1 ? (this.#kept[0] as Buffer) : Buffer.concat(this.#kept)
  }

  #acquire(opening: Opening): void {
    if (this.#isOver) return
    if (typeof opening === 'string') return this.#stay(opening)
    const lease = this.#host.acquire(opening.target, this)
    if (lease instanceof Promise) lease.then((late) => this.#enter(late, opening)).catch(this.#refuse)
    else this.#enter(lease, opening)
  }

  #enter(lease: Lease, { hosts, certificate }: Destination): void {
    const socket = this.#socket
    if (this.#isOver || socket.destroyed) {
      lease.release(false)
      return
    }
    // Paused, the stream itself may hold more; read() tells listeners of what it gives, too.
    socket.off('data', this.#onData)
    // Node 26 gives what came piece by piece.
    for (let rest = socket.read() as Buffer | null; rest !== null; rest = socket.read() as Buffer | null) this.#kept.push(rest)
    if (lease.handOver({ socket, first: this.#bytes(), hosts, certificate, onReturned: this.#host.onReturned })) {
      this.#end()
      this.#host.onHandedOver(lease, socket)
    } else {
      lease.release(false)
      this.#stay('context')
    }
  }

  readonly #refuse = (thrown: unknown): void => {
    if (this.#isOver) return
    refuseFirstRequest(this.#socket, asTenantryError(thrown, 'ERR_START_FAILED', 'The request could not be served'))
    this.#stay('refused')
  }

  #stay(reason: RelayReason): void {
    const socket = this.#socket
    // Its bytes cannot be put back behind its end: an upgrade whose client said all it had to say while it waited.
    if (socket.readableEnded) return this.#leave()
    this.#end()
    socket.off('error', this.#onError)
    socket.off('close', this.#leave)
    socket.off('end', this.#onEnd)
    socket.off('data', this.#onData)
    // Flowing, it would give the bytes to nobody.
    socket.pause()
    for (const bytes of this.#kept.reverse()) socket.unshift(bytes)
    this.#host.onStay(socket, reason)
  }

  /** A client that ends its half before it was heard has left, as node:http says as well; but not for an upgrade. */
  readonly #onEnd = (): void => {
    const isUpgrade = this.#isRead && /\r\nupgrade:/i.test(this.#bytes().toString('latin1'))
    if (!isUpgrade) this.#leave()
  }

  readonly #leave = (): void => {
    if (this.#isOver) return
    this.#end()
    this.#socket.destroy()
    this.#cancel?.(new TenantryError('ERR_CLIENT_GONE', 'The client left before its application group was ready'))
  }

  #end(): void {
    this.#isOver = true
    this.#host.onOver(this)
  }

  /** Its close follows. */
  readonly #onError = (): void => {}
}
