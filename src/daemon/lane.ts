import { openDescriptors } from '../context/descriptors.ts'
import { closeOwn } from '../context/handover.ts'
import { readNumber } from '../wire/control.ts'
import type { Descriptors } from '../context/descriptors.ts'

/** Where the descriptors of clients' connections come in. */
const SOCKET = 4

/** A daemon's end of the way on which connections come: see context/daemon-lane.ts. */
export class Lane {
  readonly #socket: number
  #descriptors: Descriptors | undefined

  constructor(socket = SOCKET) {
    this.#socket = socket
  }

  /** Whether connections can be taken here: not without koffi or node:ffi, and not under the permission model. */
  open(): boolean {
    this.#descriptors = openDescriptors()
    return this.#descriptors !== undefined
  }

  /**
   * The descriptor that came with that number. undefined: it was lost, since this process has no descriptor left.
   * @throws Error when another one came: somebody here reads from this socket, and whose connection is whose is not known
   */
  take(number: number): number | undefined {
    const taken = this.#descriptors?.receive(this.#socket)
    if (taken === undefined) return undefined
    if (readNumber(taken.bytes) === number) return taken.fd
    closeOwn(taken.fd)
    throw new Error('connections were taken from the descriptor on which the front sends them')
  }
}
