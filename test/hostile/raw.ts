import net from 'node:net'
import { once } from 'node:events'

/** An attacker's connection: what comes is counted and thrown away, unless the attacker does not read at all. */
export class Raw {
  readonly socket: net.Socket
  readonly closed: Promise<void>
  #text = ''

  constructor(socket: net.Socket, reads: boolean) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {})
    if (reads) socket.setEncoding('latin1').on('data', (part: string) => { this.#text = (this.#text + part).slice(-100_000) })
  }

  static async open(port: number, reads = true): Promise<Raw> {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const raw = new Raw(socket, reads)
    await once(socket, 'connect')
    return raw
  }

  /** The last of what came. */
  get text(): string {
    return this.#text
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** True when `part` comes before the connection ends. */
  async until(part: string, patience = 5000): Promise<boolean> {
    const deadline = performance.now() + patience
    while (!this.#text.includes(part)) {
      if (this.socket.destroyed || performance.now() > deadline) return false
      await new Promise((resolve) => { setTimeout(resolve, 1) })
    }
    return true
  }

  /** Goes away, as a closed program or as a pulled plug. */
  leave(how: 'end' | 'reset' = 'end'): void {
    if (how === 'reset') this.socket.resetAndDestroy()
    else this.socket.destroy()
  }
}

/** Runs `count` jobs, `width` at a time. */
export async function many(count: number, width: number, job: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: Math.min(width, count) }, async () => {
    while (next < count) await job(next++)
  }))
}

/** A request's head for the victim. */
export function head(method: string, path: string, ...fields: readonly string[]): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: victim.test', ...fields, '', ''].join('\r\n')
}
