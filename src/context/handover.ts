import { closeSync, fstatSync } from 'node:fs'
import { Socket } from 'node:net'
import { receiveMessageOnPort } from 'node:worker_threads'
import { openDescriptors } from './descriptors.ts'
import type { MessagePort } from 'node:worker_threads'
import type { HandoverMessage } from '../wire/handover.ts'
import type { Offer, OfferedConnection } from './context.ts'

/**
 * Connections that a context has not opened yet. One that spins takes none: what comes then is the relay's, which counts
 * who waits. As many as come in one burst while it starts to serve.
 */
export const MOST_UNDER_WAY = 1024

/** A connection that was posted and is not known to be opened. */
interface UnderWay {
  readonly fd: number
  /** Which socket that number named then. */
  readonly inode: bigint
  readonly first: Uint8Array
  readonly isSecure: boolean
  readonly onReturned: Offer['onReturned']
}

/**
 * The main thread's end of a context's handover port, in the front and in a daemon. It knows whose each number is: its
 * own until the context has said that it opened it, the context's from then on.
 */
export class Handover {
  readonly #port: MessagePort
  /** Called for each that the context has opened. */
  onTaken: (() => void) | undefined
  readonly #underWay = new Map<number, UnderWay>()
  #nextId = 1
  #isDeaf = false
  #closed = false

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', (id) => {
      if (this.#underWay.delete(id as number)) this.onTaken?.()
    })
    // The context gave its end up, and lives: what it has opened of what is under way is known when it has ended.
    port.once('close', () => { this.#isDeaf = true })
    port.unref()
  }

  /** Connections that the context has not opened yet. */
  get underWay(): number {
    return this.#underWay.size
  }

  /** Posts a descriptor that nobody else will close. False: it is still the caller's. */
  post(fd: number, { first: read, hosts, certificate, onReturned }: Offer): boolean {
    if (this.#isDeaf || this.#closed || this.#underWay.size >= MOST_UNDER_WAY) return false
    const id = this.#nextId++
    // A copy of exact size: cloning a piece of Buffer's pool would show the context all of it.
    const first = new Uint8Array(read)
    this.#underWay.set(id, { fd, inode: inodeOf(fd), first, isSecure: certificate !== undefined, onReturned })
    const message: HandoverMessage = [id, fd, first, hosts]
    if (certificate !== undefined) message.push(certificate)
    this.#port.postMessage(message)
    return true
  }

  /** The same with a duplicate of the connection's own descriptor. True: it has left; the client sees nothing of that. */
  give(connection: OfferedConnection): boolean {
    const { socket } = connection
    const own = descriptorOf(socket)
    if (own === undefined || !isAtRest(socket)) return false
    const fd = openDescriptors()?.duplicate(own)
    if (fd === undefined) return false
    if (!this.post(fd, connection)) {
      closeOwn(fd)
      return false
    }
    // Closes one of two descriptors: nothing is sent.
    socket.destroy()
    return true
  }

  /**
   * The context is gone, and what it had opened was closed with it: gives the rest back, or closes it. It may have opened
   * one and died before it could say so; then the number is free, or names something new by now, which its inode tells.
   */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (let taken = receiveMessageOnPort(this.#port); taken !== undefined; taken = receiveMessageOnPort(this.#port)) {
      this.#underWay.delete(taken.message as number)
    }
    this.#port.close()
    for (const left of this.#underWay.values()) if (left.inode === inodeOf(left.fd)) giveBack(left)
    this.#underWay.clear()
  }
}

/** Nobody has answered its client a byte, and what the client says next is still to be read. */
function giveBack({ fd, first, isSecure, onReturned }: UnderWay): void {
  const socket = onReturned === undefined ? undefined : openSocket(fd, first, isSecure)
  if (socket === undefined) closeOwn(fd)
  // Later: whoever has it back asks for another context, and this one's group has not heard yet that it is gone.
  else setImmediate(() => onReturned?.(socket))
}

/** A descriptor's connection as if it had been accepted here. */
function openSocket(fd: number, first: Uint8Array, isSecure: boolean): Socket | undefined {
  let socket: Socket
  try {
    // As http.Server and tls.Server have theirs.
    socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: !isSecure })
  } catch {
    return undefined
  }
  // It may break before somebody listens; its close follows.
  socket.on('error', () => {})
  socket.unshift(first)
  // Who looks whether a client has said anything yet must see that it has.
  Object.defineProperty(socket, 'bytesRead', {
    get: () => first.byteLength + Reflect.get(Socket.prototype, 'bytesRead', socket),
  })
  return socket
}

/** Nothing lies in its own buffers, which would stay behind. */
export function isAtRest(socket: Socket): boolean {
  return socket.readableLength === 0 && socket.writableLength === 0
}

/** The number of a connection in this process; undefined once it is closed. Node has no documented way to it. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null }
  const fd = handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

/** Closes a number of ours; never throws, though somebody else in this process may have closed it. */
export function closeOwn(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // EBADF: a tenant closes descriptors by number.
  }
}

/** Which file or socket a number names; of sockets no two that are open at once have the same. -1n: none. */
function inodeOf(fd: number): bigint {
  try {
    return fstatSync(fd, { bigint: true }).ino
  } catch {
    return -1n
  }
}
