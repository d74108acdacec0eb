import { nodeHandler } from './fetch.ts'
import { seemListening } from './listen.ts'
import { builtInConnectionListener, nodeHttp } from './node-internals.ts'
import type http from 'node:http'
import type net from 'node:net'
import type { Lifecycle } from './lifecycle.ts'
import type { ResponseInternals } from './node-internals.ts'

/** How an application is called: found by what its entry exports or listens with. */
export interface Application {
  readonly kind: 'listen' | 'node' | 'fetch'
  /** The server whose handlers serve, where there is one: upgrades and its events go there. */
  readonly server: http.Server | undefined
  /** `expectsContinue`: the client waits for 100 Continue. */
  handle(req: http.IncomingMessage, res: http.ServerResponse, connection: ServedSocket, expectsContinue: boolean): void
}

/** A client's connection, with the server that node:http puts on it. */
export interface ServedSocket extends net.Socket {
  server?: http.Server
}

type NodeHandler = (req: http.IncomingMessage, res: http.ServerResponse) => unknown
type Wanted = 'auto' | 'listen' | 'node' | 'fetch'

/** What a module exports, if it can be served; undefined means: wait for it to listen. */
export async function fromExports(exported: unknown, wanted: Wanted, lifecycle: Lifecycle): Promise<Application | undefined> {
  if (wanted === 'listen') return undefined
  for (const candidate of candidates(exported)) {
    if (wanted !== 'node' && hasMethod(candidate, 'fetch')) {
      return fromHandler('fetch', nodeHandler((request, context) => candidate.fetch(request, process.env, context), lifecycle))
    }
    if (wanted === 'fetch') continue
    if (candidate instanceof nodeHttp.Server) {
      seemListening(candidate as http.Server)
      return fromServer('node', candidate as http.Server)
    }
    if (typeof candidate === 'function') return fromHandler('node', candidate as NodeHandler)
    // Koa: its handler is made by callback().
    if (hasMethod(candidate, 'callback') && hasMethod(candidate, 'use')) {
      return fromHandler('node', candidate.callback() as NodeHandler)
    }
    // Fastify: ready() runs its plugins; its own server then has the handlers, upgrade included.
    if (hasMethod(candidate, 'ready') && hasMethod(candidate, 'inject')) {
      await candidate.ready()
      const { server } = candidate as unknown as { server: http.Server }
      return fromServer('node', server)
    }
  }
  return undefined
}

export function fromServer(kind: 'listen' | 'node', server: http.Server): Application {
  return {
    kind,
    server,
    handle(req, res, connection, expectsContinue) {
      if (connection.server !== server) announce(server, connection)
      if (server.timeout > 0) connection.setTimeout(server.timeout)
      if (expectsContinue) {
        const internals = res as unknown as ResponseInternals
        internals._expect_continue = true
        if (server.listenerCount('checkContinue') > 0) {
          server.emit('checkContinue', req, res)
          return
        }
        res.writeContinue()
      } else if (req.headers.expect !== undefined && !/100-continue/i.test(req.headers.expect)) {
        if (server.emit('checkExpectation', req, res)) return
        res.writeHead(417)
        res.end()
        return
      }
      server.emit('request', req, res)
    },
  }
}

/**
 * 'connection' listeners hear of a client once, except http.Server's own, which would start a parser.
 * An https server's would start a handshake.
 */
export function announce(server: http.Server, connection: ServedSocket): void {
  connection.server = server
  if (!(server instanceof nodeHttp.Server)) return
  for (const listener of server.listeners('connection')) {
    if (listener !== builtInConnectionListener) listener.call(server, connection)
  }
}

/** The application sees `url` below its mount, and the mount where Express puts it. */
export function enterMount(req: object, mount: string): void {
  const request = req as { url: string; baseUrl?: string; originalUrl?: string }
  const { url } = request
  // An absolute target keeps its scheme and host, as in Express.
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('://') + 3)
  const rest = url.slice(start + mount.length)
  request.originalUrl = url
  request.baseUrl = mount
  request.url = url.slice(0, start) + (rest.startsWith('/') ? rest : `/${rest}`)
}

function fromHandler(kind: 'node' | 'fetch', handler: NodeHandler): Application {
  const server = nodeHttp.createServer(handler)
  return { ...fromServer('node', server), kind }
}

/** Default export, named exports, and the default export inside a CommonJS module compiled from ESM. */
function* candidates(exported: unknown): Generator<object> {
  const inner = isObject(exported) ? (exported as { default?: unknown }).default : undefined
  const innermost = isObject(inner) ? (inner as { default?: unknown }).default : undefined
  for (const candidate of [inner, innermost, exported]) if (isObject(candidate)) yield candidate
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

function hasMethod<N extends string>(value: object, name: N): value is Record<N, (...args: unknown[]) => unknown> {
  return typeof (value as Record<string, unknown>)[name] === 'function'
}
