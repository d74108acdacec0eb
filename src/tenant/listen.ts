import net from 'node:net'
import { nodeHttp } from './node-internals.ts'
import type http from 'node:http'

/** What net.Server asks of a listening handle. */
interface FakeHandle {
  close(done?: () => void): void
  getsockname(out: { address?: string; port?: number; family?: string }): number
  ref(): void
  unref(): void
}

interface ServerInternals extends net.Server {
  _handle: FakeHandle | null
  _connections: number
  _emitCloseIfDrained(): void
}

/** Where an application "listens", when it asks for any free port. */
let freePort = 49_152

/**
 * Lets unmodified programs call `listen()`: an HTTP server binds no port, its
 * handlers serve the context's requests instead. `address()`, `listening`,
 * `close()` and the events work, since net.Server is given a handle that has
 * no descriptor. Other servers listen for real.
 */
export function interceptListen(onListen: (server: http.Server) => void): void {
  const listen = net.Server.prototype.listen as (this: net.Server, ...args: unknown[]) => net.Server
  net.Server.prototype.listen = function (this: ServerInternals, ...args: unknown[]): net.Server {
    if (!servesHttp(this)) return listen.apply(this, args)
    if (this._handle !== null && this._handle !== undefined && !unasked.delete(this)) {
      throw Object.assign(new Error('Listen method has been called more than once without closing.'), {
        code: 'ERR_SERVER_ALREADY_LISTEN',
      })
    }
    const callback = args.findLast((argument) => typeof argument === 'function') as (() => void) | undefined
    if (callback !== undefined) this.once('listening', callback)
    closed.delete(this)
    this._handle = fakeHandle(this, addressOf(args))
    process.nextTick(() => {
      if (this._handle === null) return
      this.emit('listening')
      onListen(this as unknown as http.Server)
    })
    return this
  } as typeof net.Server.prototype.listen
}

/** https.Server and http2's compat servers have a request listener, but another class; importing them costs every start. */
function servesHttp(server: net.Server): boolean {
  return server instanceof nodeHttp.Server || server.listenerCount('request') > 0
}

/** An exported server need not listen; its `close()` shall wait for its requests as if it did. */
export function seemListening(server: http.Server): void {
  const internals = server as unknown as ServerInternals
  if (internals._handle !== null && internals._handle !== undefined) return
  internals._handle = fakeHandle(internals, addressOf([]))
  unasked.add(server)
}

/** Servers that seem to listen and may still be told to. */
const unasked = new WeakSet<object>()

function addressOf(args: readonly unknown[]): { address: string; port: number } {
  const first = args[0]
  const options = typeof first === 'object' && first !== null ? (first as { port?: unknown; host?: unknown }) : undefined
  const port = Number(options === undefined ? first : options.port)
  const host = options === undefined ? args[1] : options.host
  return {
    address: typeof host === 'string' ? host : '::',
    port: Number.isInteger(port) && port > 0 ? port : freePort++,
  }
}

function fakeHandle(server: net.Server, { address, port }: { address: string; port: number }): FakeHandle {
  return {
    close(done) {
      closed.add(server)
      done?.()
    },
    getsockname(out) {
      out.address = address
      out.port = port
      out.family = address.includes(':') ? 'IPv6' : 'IPv4'
      return 0
    },
    ref() {},
    unref() {},
  }
}

/** Servers that listened here and were closed: they emit 'close' once their requests are over. */
const closed = new WeakSet<object>()

/** Makes `server.close()` wait for the requests under way, as it waits for connections. */
export function countConnection(server: http.Server, delta: 1 | -1): void {
  const internals = server as unknown as ServerInternals
  internals._connections += delta
  if (internals._connections === 0 && internals._handle === null && closed.has(server)) internals._emitCloseIfDrained()
}
