import { closeSync, fstatSync } from 'node:fs'
import { receiveMessageOnPort } from 'node:worker_threads'
import { openDescriptors } from './descriptors.ts'
import type { Socket } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import type { HandedCertificate, HandoverMessage } from '../wire/handover.ts'
import type { OfferedConnection } from './context.ts'

/**
 * Connections that a context has not opened yet. One that spins takes none: what comes then is the relay's, which counts
 * who waits. As many as come in one burst while it starts to serve.
 */
export const MOST_UNDER_WAY = 1024

/**
 * The main thread's end of a context's handover port, in the front and in a daemon. It knows whose each number is: its
 * own until the context has said that it opened it, the context's from then on.
 */
export class Handover {
  readonly #port: MessagePort
  /** Called for each that the context has opened. */
  onTaken: (() => void) | undefined
  /** Posted and not known to be opened: the number, and which socket it named then. */
  readonly #underWay = new Map<number, { readonly fd: number; readonly inode: bigint }>()
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
  post(fd: number, first: Uint8Array, hosts: readonly string[], certificate?: HandedCertificate): boolean {
    if (this.#isDeaf || this.#closed || this.#underWay.size >= MOST_UNDER_WAY) return false
    const id = this.#nextId++
    this.#underWay.set(id, { fd, inode: inodeOf(fd) })
    // A copy of exact size: cloning a piece of Buffer's pool would show the context all of it.
    const message: HandoverMessage = [id, fd, new Uint8Array(first), hosts]
    if (certificate !== undefined) message.push(certificate)
    this.#port.postMessage(message)
    return true
  }

  /** The same with a duplicate of the connection's own descriptor. True: the connection has left; the client sees nothing of it. */
  give({ socket, first, hosts, certificate }: OfferedConnection): boolean {
    const own = descriptorOf(socket)
    if (own === undefined || !isAtRest(socket)) return false
    const fd = openDescriptors()?.duplicate(own)
    if (fd === undefined) return false
    if (!this.post(fd, first, hosts, certificate)) {
      closeOwn(fd)
      return false
    }
    // Closes one of two descriptors: nothing is sent.
    socket.destroy()
    return true
  }

  /**
   * The context is gone, and what it had opened was closed with it: closes the rest. It may have opened one and died
   * before it could say so; then the number is free, or names something new by now, which its inode tells.
   */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (let taken = receiveMessageOnPort(this.#port); taken !== undefined; taken = receiveMessageOnPort(this.#port)) {
      this.#underWay.delete(taken.message as number)
    }
    this.#port.close()
    for (const { fd, inode } of this.#underWay.values()) if (inode === inodeOf(fd)) closeOwn(fd)
    this.#underWay.clear()
  }
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
