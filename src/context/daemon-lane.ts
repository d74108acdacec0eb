import { openDescriptors, openedDescriptors } from './descriptors.ts'
import { descriptorOf, isAtRest } from './handover.ts'
import { Control, writeNumber } from '../wire/control.ts'
import type { Socket } from 'node:net'
import type { ControlLink } from '../wire/control.ts'
import type { OfferedConnection } from './context.ts'

/**
 * The front's end of the way on which connections go to a daemon: their descriptors over a Unix socket of its own, where
 * nothing else is written and nothing is read, and a word about each over the control socket. Not subprocess.send():
 * what the other process writes on Node's own channel is read in the front without a bound, and throws there.
 */
export class DaemonLane {
  readonly #socket: Socket
  readonly #link: ControlLink
  #state: 'unasked' | 'asked' | 'open' = 'unasked'
  #sent = 0

  constructor(socket: Socket, link: ControlLink) {
    this.#socket = socket
    this.#link = link
    // Whatever it writes stays unread: the kernel holds what is left of it, and Node 64 KiB.
    socket.pause()
    socket.on('error', () => {})
    socket.unref()
    // Where connections are handed over at all, the first one need not wait for the answer.
    if (openedDescriptors() !== undefined) this.#ask()
  }

  /** The daemon says that it can take them. */
  open(): void {
    this.#state = 'open'
  }

  /** As `Context.handOver`. Never waits: what the daemon does not read in time goes over the relay. */
  send(context: number, { socket, first, hosts, certificate }: OfferedConnection): boolean {
    const descriptors = openDescriptors()
    if (descriptors === undefined) return false
    if (this.#state === 'unasked') this.#ask()
    const lane = descriptorOf(this.#socket)
    const own = descriptorOf(socket)
    if (this.#state !== 'open' || lane === undefined || own === undefined || !isAtRest(socket) || this.#link.isBusy) return false
    if (!descriptors.send(lane, own, writeNumber(++this.#sent))) return false
    this.#link.post([Control.TAKE, this.#sent, context, new Uint8Array(first), hosts, certificate])
    socket.destroy()
    return true
  }

  close(): void {
    this.#socket.destroy()
  }

  #ask(): void {
    this.#state = 'asked'
    this.#link.post([Control.LANE])
  }
}
