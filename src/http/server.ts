import { publish } from '../events.ts'
import http from 'node:http'
import type { Dispatcher } from './dispatch.ts'
import type { HeadDeadlines } from './head-deadlines.ts'

/** Where a server that Tenantry owns listens. */
export interface ListenOptions {
  /** Default 127.0.0.1: loopback unless told otherwise. */
  readonly host?: string
  /** 0 takes any free port; `server.address()` tells which. */
  readonly port?: number
  /** A Unix socket instead of host and port. */
  readonly path?: string
}

/** A server whose every request goes to the dispatcher. Rejects when it cannot listen. */
export async function listen(
  dispatcher: Dispatcher,
  heads: HeadDeadlines,
  maxConnections: number,
  options: ListenOptions,
): Promise<http.Server> {
  // Read deadlines are ours: Node's own would cut a long upload after five minutes, and a slow head after half a minute more.
  const settings = { requireHostHeader: false, headersTimeout: 0, requestTimeout: 0 }
  const server = http.createServer(settings, (req, res) => dispatcher.request(req, res, undefined))
  heads.protect(server)
  if (maxConnections > 0) boundConnections(server, maxConnections)
  // The application decides about both, not the front.
  server.on('checkContinue', (req, res) => dispatcher.request(req, res, undefined, true))
  server.on('checkExpectation', (req, res) => dispatcher.request(req, res, undefined))
  server.on('upgrade', (req, socket, head) => dispatcher.upgrade(req, socket, head, undefined))
  server.on('connect', (req, socket, head) => dispatcher.upgrade(req, socket, head, undefined))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.path === undefined ? { host: options.host ?? '127.0.0.1', port: options.port ?? 0 } : { path: options.path }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}

/** Node closes each one above it at once, without a byte. */
function boundConnections(server: http.Server, maxConnections: number): void {
  server.maxConnections = maxConnections
  const message = `A connection was closed at once: there are maxConnections (${maxConnections}) already`
  server.on('drop', () => publish('tenantry:admission:refuse', { host: '', code: 'ERR_CONNECTION_LIMIT', message }))
}
