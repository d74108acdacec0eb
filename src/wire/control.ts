import { Buffer } from 'node:buffer'
import { encode, MessageReader } from './codec.ts'
import type { Socket } from 'node:net'

/**
 * What front and daemon say to each other about contexts, on a socket of its
 * own. Requests never come this way: each context has a relay of its own.
 */
export const Control = {
  /** front → daemon: [SETUP, settings] once, first. */
  SETUP: 1,
  /** front → daemon: [START, context, spec, address, nice, on the main thread] without a spec: one that waits for LOAD. */
  START: 2,
  /** front → daemon: [END, context] end its thread, whatever it does. */
  END: 3,
  /** front → daemon: [EXIT] nothing will follow: end. */
  EXIT: 4,
  /** daemon → front: [HELLO, version] it can start contexts. */
  HELLO: 5,
  /** daemon → front: [LINE, context, stream, text] a line of a context's output. */
  LINE: 6,
  /** daemon → front: [EXITED, context, exit code, error record | undefined] */
  EXITED: 7,
  /** daemon → front: [BEAT, resident bytes, CPU milliseconds, boards] every BEAT_INTERVAL. */
  BEAT: 8,
  /** front → daemon: [LANE] connections may be handed over: can it take them? */
  LANE: 9,
  /** daemon → front: [TAKES] it can. */
  TAKES: 10,
  /** front → daemon: [TAKE, number, context, first bytes, hosts, certificate | undefined] a connection is for that context; its descriptor was sent before. */
  TAKE: 11,
  /** daemon → front: [TAKEN, context, count] so many more were opened by that context, or closed for it. */
  TAKEN: 12,
  /** front → daemon: [LOOK] how are its contexts now? */
  LOOK: 13,
  /** daemon → front: [LOOKED] a BEAT that was made since stands before it. */
  LOOKED: 14,
} as const

export const CONTROL_VERSION = 1

/** How often a daemon tells that it turns, and what its contexts' scoreboards say; milliseconds. */
export const BEAT_INTERVAL = 500

/** What a daemon is told before it starts anything. */
export interface DaemonSetup {
  readonly name: string
  readonly umask: number | undefined
}

/** One context in a BEAT: its number, its CPU milliseconds, its scoreboard's cells. */
export type Board = readonly [context: number, cpu: number, cells: readonly number[]]

/** Output that a front does not read may not fill a daemon: past so many bytes, lines are dropped. */
const MAX_UNREAD = 1024 * 1024

/** One end of the control socket. `onMessage` hears `undefined` for what no honest end writes, and nothing after it. */
export class ControlLink {
  readonly #socket: Socket

  constructor(socket: Socket, onMessage: (message: readonly unknown[] | undefined) => void, onClose: () => void) {
    this.#socket = socket
    const reader = new MessageReader(onMessage)
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('error', () => {})
    socket.once('close', onClose)
  }

  /** More waits to be read by the other end than it should. */
  get isBehind(): boolean {
    return this.#socket.writableLength > MAX_UNREAD
  }

  /** Something waits to be read by the other end. */
  get isBusy(): boolean {
    return this.#socket.writableLength > 0
  }

  post(message: unknown[]): void {
    for (const buffer of encode(message)) this.#socket.write(buffer)
  }

  unref(): void {
    this.#socket.unref()
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** What goes beside a descriptor, by which both ends know that they mean the same connection. */
export function writeNumber(value: number): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(36)))
}

export function readNumber(bytes: Uint8Array): number {
  return Number.parseInt(Buffer.from(bytes).toString('latin1'), 36)
}
