import http from 'node:http'
import { HelloReader } from './hello-reader.ts'
import { LaneServer, publishDrop } from './lane-server.ts'
import { createSecureServer } from './secure-server.ts'
import { resolveTls } from './tls-options.ts'
import type https from 'node:https'
import type http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from './dispatch.ts'
import type { HeadDeadlines } from './head-deadlines.ts'
import type { Lanes } from './lane.ts'
import type { ReadOpening } from './opening.ts'
import type { CertificateHouse } from './secure-server.ts'
import type { ListenTls } from './tls-options.ts'

/** Where a server that Tenantry owns listens. */
export interface ListenOptions {
  /** Default 127.0.0.1: loopback unless told otherwise. */
  readonly host?: string
  /** 0 takes any free port; `server.address()` tells which. */
  readonly port?: number
  /** A Unix socket instead of host and port. */
  readonly path?: string
  /** HTTPS instead of HTTP, with HTTP/2; `{}` has the tenants' own certificates and none besides. Default: HTTP. */
  readonly tls?: ListenTls
}

/**
 * A server whose every request goes to the dispatcher, or with its connection to a context. Rejects when it cannot
 * listen, or has no usable certificate.
 */
export async function listen(
  dispatcher: Dispatcher,
  heads: HeadDeadlines,
  lanes: Lanes,
  options: ListenOptions,
  house: CertificateHouse,
): Promise<http.Server> {
  const { server, read } = await createServer(dispatcher, lanes, options, house)
  heads.protect(server)
  boundConnections(server, lanes.connections.max)
  new LaneServer(server, lanes, read)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.path === undefined ? { host: options.host ?? '127.0.0.1', port: options.port ?? 0 } : { path: options.path }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}

/** A server, and who reads where its connections lead. */
interface OwnServer {
  readonly server: http.Server
  readonly read: ReadOpening
}

async function createServer(dispatcher: Dispatcher, lanes: Lanes, options: ListenOptions, house: CertificateHouse): Promise<OwnServer> {
  // Read deadlines are ours: Node's own would cut a long upload after five minutes, and a slow head after half a minute more.
  const settings = { requireHostHeader: false, headersTimeout: 0, requestTimeout: 0 }
  if (options.tls === undefined) return { server: wire(http.createServer(settings), dispatcher), read: lanes.readHead }
  const tls = resolveTls(options.tls)
  const { server, second } = await createSecureServer(tls, house, settings)
  if (second !== undefined) wireHttp2(second, dispatcher)
  return { server: wire(server, dispatcher), read: new HelloReader(tls, house, lanes).read }
}

function wire<S extends http.Server | https.Server>(server: S, dispatcher: Dispatcher): S {
  server.on('request', (req, res) => dispatcher.request(req, res, undefined))
  // The application decides about both, not the front.
  server.on('checkContinue', (req, res) => dispatcher.request(req, res, undefined, true))
  server.on('checkExpectation', (req, res) => dispatcher.request(req, res, undefined))
  server.on('upgrade', (req, socket, head) => dispatcher.upgrade(req, socket, head, undefined))
  server.on('connect', (req, socket, head) => dispatcher.upgrade(req, socket, head, undefined))
  return server
}

/** Its objects are those of node:http as far as anything here looks at them. */
function wireHttp2(server: http2.Http2Server, dispatcher: Dispatcher): void {
  const asHttp1 = (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse): [http.IncomingMessage, http.ServerResponse] =>
    [req as unknown as http.IncomingMessage, res as unknown as http.ServerResponse]
  server.on('request', (req, res) => dispatcher.request(...asHttp1(req, res), undefined))
  server.on('checkContinue', (req, res) => dispatcher.request(...asHttp1(req, res), undefined, true))
  server.on('connect', (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
    const [request, response] = asHttp1(req, res)
    dispatcher.upgrade(request, response as unknown as Duplex, Buffer.alloc(0), undefined)
  })
}

/** Where one server alone has them all in the front, Node closes each further one before it makes a socket of it. */
function boundConnections(server: http.Server | https.Server, maxConnections: number): void {
  if (maxConnections === 0) return
  server.maxConnections = maxConnections
  server.on('drop', () => publishDrop(maxConnections))
}
