import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { TOKEN_LENGTH } from '../wire/boot-request.ts'
import type { FrontAddress } from '../wire/boot-request.ts'
import type { Clock } from '../clock.ts'

/** How long a connection may take to say who it is; milliseconds. */
const GREETING_TIMEOUT = 5000

/** Connections that have not said who they are. A context needs a millisecond for it. */
const MAX_STRANGERS = 256

/** The longest path that every system takes for a Unix socket. */
const MAX_PATH = 100

/** Gets the connection of an announced context, and what it has sent already. */
export type Welcome = (socket: net.Socket, first: Buffer) => void

/**
 * Where contexts of daemons connect to the front: one Unix socket. Whoever
 * connects names a token, which is known to one context and good for once.
 */
export class Door {
  readonly #server: net.Server
  readonly #clock: Clock
  readonly #path: string
  readonly #folder: string | undefined
  readonly #expected = new Map<string, Welcome>()
  #strangers = 0

  constructor(clock: Clock) {
    this.#clock = clock
    if (process.platform === 'win32') {
      this.#path = `\\\\.\\pipe\\tenantry-${process.pid}-${randomBytes(8).toString('hex')}`
    } else {
      const base = tmpdir().length < MAX_PATH - 40 ? tmpdir() : '/tmp'
      this.#folder = mkdtempSync(path.join(base, 'tenantry-'))
      // A daemon of another user has to reach it. Its name cannot be listed or guessed, and the token decides.
      chmodSync(this.#folder, 0o711)
      this.#path = path.join(this.#folder, 'door')
    }
    this.#server = net.createServer((socket) => this.#meet(socket))
    this.#server.listen({ path: this.#path, writableAll: true, readableAll: true })
    this.#server.unref()
  }

  /** Announces one context. */
  expect(welcome: Welcome): FrontAddress {
    const token = randomBytes(32).toString('base64url')
    this.#expected.set(token, welcome)
    return { path: this.#path, token }
  }

  /** It will not come any more. */
  forget({ token }: FrontAddress): void {
    this.#expected.delete(token)
  }

  close(): void {
    this.#server.close()
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  #meet(socket: net.Socket): void {
    socket.on('error', () => {})
    if (this.#strangers >= MAX_STRANGERS) {
      socket.destroy()
      return
    }
    this.#strangers++
    const stop = this.#clock.after(GREETING_TIMEOUT, () => socket.destroy())
    let said: Buffer = Buffer.alloc(0)
    const leave = (): void => {
      this.#strangers--
      stop()
    }
    const read = (chunk: Buffer): void => {
      said = said.byteLength === 0 ? chunk : Buffer.concat([said, chunk])
      if (said.byteLength < TOKEN_LENGTH) return
      socket.off('data', read)
      socket.off('close', leave)
      leave()
      const token = said.toString('latin1', 0, TOKEN_LENGTH)
      const welcome = this.#expected.get(token)
      this.#expected.delete(token)
      if (welcome === undefined) socket.destroy()
      else welcome(socket, said.subarray(TOKEN_LENGTH))
    }
    socket.on('data', read)
    socket.once('close', leave)
  }
}
