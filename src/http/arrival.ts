import { asTenantryError, TenantryError } from '../errors.ts'
import { refuseFirstRequest } from './early-refusal.ts'
import { readFirstBytes } from './first-bytes.ts'
import type net from 'node:net'
import type { GroupTarget, Lease } from '../group/lease.ts'
import type { CancelWait, Waiting } from '../group/wait-queue.ts'
import type { FirstHead } from './first-bytes.ts'
import type { RelayReason } from './lane-choice.ts'
import type { Watched } from '../connection/sweep.ts'

/** What is kept of a client's bytes while its group starts; the kernel keeps what comes after them. Bytes. */
const MAX_KEPT = 65_536

/** Who decides about connections that have just been accepted. */
export interface ArrivalHost {
  /** The group that all requests of the connection belong to, or why there is none. Throws or rejects with a refusal. */
  choose(socket: net.Socket, head: FirstHead): GroupTarget | RelayReason | Promise<GroupTarget | RelayReason>
  acquire(target: GroupTarget, who: Waiting): Lease | Promise<Lease>
  /** It waits for its first byte no more. */
  onSpoken(arrival: Arrival): void
  onHandedOver(lease: Lease): void
  /** The connection stays here: its bytes can be read again. */
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
  #head: FirstHead | undefined
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
    // A client that closes its side before it was heard has left: node:http ends such a connection as well.
    socket.on('end', this.#leave)
    socket.on('data', this.#onData)
  }

  /** Has sent nothing for too long. */
  due(): void {
    this.#leave()
  }

  /** The server closes, and nothing was asked yet. */
  close(): void {
    this.#leave()
  }

  onWait(cancel: CancelWait): void {
    this.#cancel = cancel
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#kept.push(bytes)
    this.#size += bytes.length
    if (this.#head !== undefined) {
      if (this.#size >= MAX_KEPT) this.#socket.pause()
      return
    }
    this.#host.onSpoken(this)
    this.#head = readFirstBytes(bytes)
    if (this.#head === undefined) this.#stay('head')
    else this.#choose(this.#head)
  }

  #choose(head: FirstHead): void {
    try {
      const chosen = this.#host.choose(this.#socket, head)
      if (chosen instanceof Promise) chosen.then((late) => this.#acquire(late)).catch(this.#refuse)
      else this.#acquire(chosen)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #acquire(chosen: GroupTarget | RelayReason): void {
    if (this.#isOver) return
    if (typeof chosen === 'string') return this.#stay(chosen)
    const lease = this.#host.acquire(chosen, this)
    if (lease instanceof Promise) lease.then((late) => this.#enter(late)).catch(this.#refuse)
    else this.#enter(lease)
  }

  #enter(lease: Lease): void {
    const socket = this.#socket
    if (this.#isOver || socket.destroyed) {
      lease.release(false)
      return
    }
    // Paused, the stream itself may hold more.
    const rest = socket.read() as Buffer | null
    if (rest !== null) this.#kept.push(rest)
    const { host } = this.#head as FirstHead
    const first = this.#kept.length === 1 ? (this.#kept[0] as Buffer) : Buffer.concat(this.#kept)
    if (lease.handOver({ socket, first, hosts: [host] })) {
      this.#isOver = true
      this.#host.onHandedOver(lease)
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
    this.#isOver = true
    socket.off('error', this.#onError)
    socket.off('close', this.#leave)
    socket.off('end', this.#leave)
    socket.off('data', this.#onData)
    // Flowing, it would give the bytes to nobody.
    socket.pause()
    for (const bytes of this.#kept.reverse()) socket.unshift(bytes)
    this.#host.onStay(socket, reason)
    socket.resume()
  }

  readonly #leave = (): void => {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#head === undefined) this.#host.onSpoken(this)
    this.#socket.destroy()
    this.#cancel?.(new TenantryError('ERR_CLIENT_GONE', 'The client left before its application group was ready'))
  }

  /** Its close follows. */
  readonly #onError = (): void => {}
}
