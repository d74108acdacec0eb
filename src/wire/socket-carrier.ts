import { FRAME_LENGTH, MAX_PIECE } from './frames.ts'
import { encode, MessageReader } from './codec.ts'
import { PieceMemory } from './piece-memory.ts'
import type { Socket } from 'node:net'
import type { Carrier } from './carrier.ts'
import type { Batch } from './frames.ts'

/** A batch with more bytes and text than this leaves as several messages, parted between frames. */
const PART = 1024 * 1024

/** A carrier on a Unix socket: the relay to a context in another process. Both ends are the same. */
export class SocketCarrier implements Carrier {
  readonly movesMemory = false
  readonly memory = new PieceMemory()
  readonly #onBatch: (batch: unknown) => void
  readonly #onClose: () => void
  #socket: Socket | undefined
  #closed = false

  constructor(onBatch: (batch: unknown) => void, onClose: () => void) {
    this.#onBatch = onBatch
    this.#onClose = onClose
  }

  /** The connection is there; `first`: what was read of it already. Nothing is posted before. */
  attach(socket: Socket, first: Buffer): void {
    if (this.#closed) {
      socket.destroy()
      return
    }
    this.#socket = socket
    // Bytes that make no message are no batch: its reader calls that what it is.
    const reader = new MessageReader((batch) => this.#onBatch(batch), this.memory)
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#closed = true
      this.#onClose()
    })
    if (first.byteLength > 0) reader.push(first)
  }

  get attached(): boolean {
    return this.#socket !== undefined
  }

  post(batch: Batch): void {
    const socket = this.#socket
    if (this.#closed || socket === undefined) return
    socket.cork()
    for (const part of parted(batch)) for (const buffer of encode(part)) this.#write(socket, buffer)
    socket.uncork()
  }

  /** A full piece is nobody's once it is written: whoever sent it has made it for that. */
  #write(socket: Socket, buffer: Buffer): void {
    if (buffer.byteLength !== MAX_PIECE || buffer.buffer.byteLength !== MAX_PIECE) socket.write(buffer)
    else socket.write(buffer, () => this.memory.put([buffer.buffer as ArrayBuffer]))
  }

  /** Resolves when nothing that was posted is left in this process, or the other end is gone. */
  async written(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined || this.#closed || socket.writableLength === 0) return
    // The callback of an empty write runs after all before it.
    await new Promise<void>((resolve) => {
      socket.once('close', resolve)
      socket.write('', () => resolve())
    })
  }

  ref(): void {
    this.#socket?.ref()
  }

  unref(): void {
    this.#socket?.unref()
  }

  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }
}

/** The batch, or its frames in several where it is large. */
function parted(batch: Batch): Batch[] {
  const parts: Batch[] = []
  let from = 0
  let size = 0
  for (let at = 0; at < batch.length; ) {
    const next = at + (FRAME_LENGTH[batch[at] as number] as number)
    for (; at < next; at++) size += sizeOf(batch[at])
    if (size < PART) continue
    parts.push(batch.slice(from, next))
    from = next
    size = 0
  }
  if (from === 0) return [batch]
  if (from < batch.length) parts.push(batch.slice(from))
  return parts
}

function sizeOf(element: unknown): number {
  if (typeof element === 'string') return element.length
  return element instanceof Uint8Array ? element.byteLength : 0
}
