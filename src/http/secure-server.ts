import { randomBytes } from 'node:crypto'
import http2 from 'node:http2'
import https from 'node:https'
import { handshakeError, parentOf } from '../connection/tls-handshake.ts'
import { TenantryError } from '../errors.ts'
import { publishHandshake, ServerNames } from './server-names.ts'
import type tls from 'node:tls'
import type { LoadedCertificate } from './certificate-file.ts'
import type { Certificates } from './certificates.ts'
import type { TenantOf } from './server-names.ts'
import type { TlsSettings } from './tls-options.ts'

/** Where a server finds certificates. */
export interface CertificateHouse {
  readonly certificates: Certificates
  readonly tenantOf: TenantOf
  /** For a whole handshake, in milliseconds; 0 is off. */
  readonly handshakeTimeout: number
}

export interface SecureServer {
  readonly server: https.Server
  /** Has the sessions of HTTP/2; listens nowhere. */
  readonly second: http2.Http2Server | undefined
}

type Answered = (error: Error | undefined, certificate?: LoadedCertificate) => void

/** Alerts in the clear, as they may be sent before the server has said anything: RFC 8446 §6.2, RFC 6066 §3. */
const UNRECOGNIZED_NAME = alert(112)
const INTERNAL_ERROR = alert(80)

/** As nginx keeps idle connections; browsers open another one where they need it. Milliseconds. */
const IDLE_SESSION = 75_000

/** Node's own default allows four billion at once. */
const MAX_STREAMS = 100

/**
 * A server of node:https that picks the certificate by the server's name. HTTP/2 lives in a server of its own, to
 * which such connections are given, so that HTTP/1.1 is what it is without TLS: `allowHTTP1` of node:http2 has no
 * keepAliveTimeout.
 */
export async function createSecureServer(
  settings: TlsSettings,
  { certificates, tenantOf, handshakeTimeout }: CertificateHouse,
  http1: https.ServerOptions,
): Promise<SecureServer> {
  const { standard, minVersion } = settings
  const names = new ServerNames({ certificates, tenantOf, standard })
  let first: LoadedCertificate | undefined = standard === undefined ? undefined : await certificates.hold(standard)
  // The same for its whole life: a session begun under the old certificate may go on under the new one.
  const fixed = { minVersion, ticketKeys: randomBytes(48) }
  const server = https.createServer({
    ...http1,
    ...fixed,
    ...pemOf(first),
    handshakeTimeout,
    ALPNProtocols: settings.http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    SNICallback(this: tls.TLSSocket, name, done) {
      answer(() => names.find(name), (error, certificate) => {
        if (error !== undefined) refuse(this, name, error)
        done(error ?? null, certificate?.context)
      })
    },
  })
  // Who names no server gets what is in the files now, too.
  if (standard !== undefined) {
    server.prependListener('connection', () => {
      answer(() => certificates.get(standard), (_error, latest) => {
        if (latest === undefined || latest === first) return
        first = latest
        server.setSecureContext({ ...fixed, ...pemOf(latest) })
      })
    })
  }
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => {
    // One of ours has been published, with the name.
    const failure = error instanceof TenantryError ? undefined : handshakeError(error)
    if (failure !== undefined) publishHandshake('', failure)
  })
  return { server, second: settings.http2 ? shareWithHttp2(server) : undefined }
}

/** Connections that have agreed on HTTP/2 go to the server that is returned; its sessions are events of the first. */
function shareWithHttp2(server: https.Server): http2.Http2Server {
  const second = http2.createServer({ settings: { enableConnectProtocol: true, maxConcurrentStreams: MAX_STREAMS } })
  second.on('session', (session) => {
    closeWhenIdle(session)
    server.emit('session', session)
  })
  const own = server.listeners('secureConnection') as ((socket: tls.TLSSocket) => void)[]
  server.removeAllListeners('secureConnection')
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    if (socket.alpnProtocol === 'h2') second.emit('connection', socket)
    else for (const listener of own) listener.call(server, socket)
  })
  return second
}

function closeWhenIdle(session: http2.ServerHttp2Session): void {
  let streams = 0
  session.on('stream', (stream) => {
    streams++
    stream.once('close', () => streams--)
  })
  session.setTimeout(IDLE_SESSION, () => {
    if (streams === 0) session.close()
  })
}

function pemOf(certificate: LoadedCertificate | undefined): { cert: string; key: string } | undefined {
  return certificate === undefined ? undefined : { cert: certificate.cert, key: certificate.key }
}

/** At once where it can be: a promise costs a handshake more than the look-up. Tells `done` once, never throws. */
function answer(find: () => LoadedCertificate | Promise<LoadedCertificate>, done: Answered): void {
  let found: LoadedCertificate | Promise<LoadedCertificate>
  try {
    found = find()
  } catch (error) {
    return done(asError(error))
  }
  if (found instanceof Promise) void answerLater(found, done)
  else done(undefined, found)
}

async function answerLater(finding: Promise<LoadedCertificate>, done: Answered): Promise<void> {
  let found: LoadedCertificate
  try {
    found = await finding
  } catch (error) {
    return done(asError(error))
  }
  done(undefined, found)
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** node:tls would close without a word, and a client could not tell a wrong name from a broken server. */
function refuse(socket: tls.TLSSocket, name: string, error: Error): void {
  const isUnknown = error instanceof TenantryError && error.code === 'ERR_HOST_NOT_ALLOWED'
  const below = parentOf(socket)
  if (below?.writable === true) below.write(isUnknown ? UNRECOGNIZED_NAME : INTERNAL_ERROR)
  const code = error instanceof TenantryError ? error.code : 'ERR_TLS_HANDSHAKE'
  publishHandshake(name, { code, message: error.message })
}

function alert(description: number): Buffer {
  return Buffer.from([0x15, 3, 3, 0, 2, 2, description])
}
