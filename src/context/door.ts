import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
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

/** Folders of doors; what a killed front leaves is told by it. */
const FOLDER = 'tenantry-door-'

/** Leftovers that one start looks at. */
const MAX_LEFTOVERS = 100

/** The longest path that every system takes for a Unix socket. */
const MAX_PATH = 100

/** Gets the connection of an announced context, and what it has sent already. */
export type Welcome = (socket: net.Socket, first: Buffer) => void

/**
 * Where contexts of daemons connect to the front: one Unix socket. Whoever
 * connects names a token, which is known to one context and good for once.
 */
export class Door {
  readonly #clock: Clock
  readonly #expected = new Map<string, Welcome>()
  /** Those who have not said who they are, in the order in which they came. */
  readonly #strangers = new Set<net.Socket>()
  #server: net.Server | undefined
  #path = ''
  #folder: string | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Announces one context; the first one opens the door. */
  expect(welcome: Welcome): FrontAddress {
    this.#server ??= this.#open()
    const token = randomBytes(32).toString('base64url')
    this.#expected.set(token, welcome)
    return { path: this.#path, token }
  }

  /** It will not come any more. */
  forget({ token }: FrontAddress): void {
    this.#expected.delete(token)
  }

  close(): void {
    for (const stranger of this.#strangers) stranger.destroy()
    this.#expected.clear()
    this.#server?.close()
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  #open(): net.Server {
    if (process.platform === 'win32') {
      this.#path = `\\\\.\\pipe\\tenantry-${process.pid}-${randomBytes(8).toString('hex')}`
    } else {
      const base = tmpdir().length < MAX_PATH - 40 ? tmpdir() : '/tmp'
      this.#folder = mkdtempSync(path.join(base, FOLDER))
      // A daemon of another user has to reach it. Whoever else finds it has no token.
      chmodSync(this.#folder, 0o711)
      this.#path = path.join(this.#folder, 'door')
      sweepLeftovers(base)
    }
    const server = net.createServer((socket) => this.#meet(socket))
    // Without descriptors a connection cannot be accepted: its context does not start, and says so.
    server.on('error', () => {})
    // `exclusive`: in a worker of node:cluster, too, the door is this process's own.
    server.listen({ path: this.#path, writableAll: true, readableAll: true, exclusive: true })
    server.unref()
    return server
  }

  #meet(socket: net.Socket): void {
    socket.on('error', () => {})
    // The oldest goes, and not the newcomer: who keeps the door full of silence keeps no context out.
    const [oldest] = this.#strangers
    if (this.#strangers.size >= MAX_STRANGERS) oldest?.destroy()
    this.#strangers.add(socket)
    const stop = this.#clock.after(GREETING_TIMEOUT, () => socket.destroy())
    let said: Buffer = Buffer.alloc(0)
    const leave = (): void => {
      this.#strangers.delete(socket)
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

/**
 * A front that is killed cannot remove its folder: the next one does. Asked of the socket and not of a process number,
 * which means another process in another container.
 */
function sweepLeftovers(base: string): void {
  for (const name of readdirSync(base).filter((entry) => entry.startsWith(FOLDER)).slice(0, MAX_LEFTOVERS)) {
    const folder = path.join(base, name)
    const probe = net.connect(path.join(folder, 'door'), () => probe.destroy()).unref()
    probe.on('error', ({ code }: NodeJS.ErrnoException) => {
      // Another user's cannot be removed, and need not be.
      if (code === 'ECONNREFUSED') rm(folder, { recursive: true, force: true }).catch(() => {})
    })
  }
}
