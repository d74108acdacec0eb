import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import tls from 'node:tls'
import { text } from 'node:stream/consumers'
import { openRuntime } from './house.ts'
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { ListenTls } from '../../src/http/tls-options.ts'
import type { Runtime } from '../../src/runtime.ts'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Files, LogLine } from './house.ts'

/** A certificate of the fixtures with its key, as PEM. */
export function pem(name: string): { cert: string; key: string } {
  const read = (kind: string): string => readFileSync(`test/fixtures/tls/${name}.${kind}.pem`, 'utf8')
  return { cert: read('cert'), key: read('key') }
}

/** Each is its own authority: who trusts them sees whether the right one came. */
export const CA: readonly string[] = ['one', 'one-renewed', 'sites', 'standard'].map((name) => pem(name).cert)

export const CERTIFIED = { 'cert.pem': pem('one').cert, 'key.pem': pem('one').key }

export interface SecureHouse {
  readonly runtime: Runtime
  readonly server: Server
  readonly port: number
  readonly folder: string
  readonly log: readonly LogLine[]
}

export async function openSecureHouse(
  t: TestContext,
  tenants: Readonly<Record<string, Files>>,
  listen: ListenTls,
  options: Omit<RuntimeOptions, 'tenants' | 'logger'> = {},
): Promise<SecureHouse> {
  const { runtime, log, folder } = await openRuntime(t, tenants, options)
  const server = await runtime.listen({ tls: listen })
  return { runtime, server, log, folder, port: (server.address() as AddressInfo).port }
}

/** A verified connection, its handshake done. */
export async function connect(
  t: TestContext,
  port: number,
  servername: string | undefined,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  const name = servername === undefined ? {} : { servername }
  const socket = tls.connect({ host: '127.0.0.1', port, ca: [...CA], ...name, ...options })
  t.after(() => socket.destroy())
  // A reset is one of the ways in which a test's connection ends.
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

/** Whose certificate it is. */
export function fingerprint(socket: tls.TLSSocket): string {
  return socket.getPeerCertificate().fingerprint256
}

export interface SecureAnswer {
  readonly status: number | undefined
  readonly text: string
}

/** One HTTPS request with a verified certificate; `servername` where it is not that of `host`. */
export async function askSecure(port: number, host: string, url = '/', options: https.RequestOptions = {}): Promise<SecureAnswer> {
  const settings = { host: '127.0.0.1', port, path: url, ca: [...CA], servername: host, agent: false, headers: { host }, ...options }
  const request = https.request(settings).end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode, text: await text(response) }
}

/** A session of HTTP/2 with a verified certificate. */
export async function openSession(t: TestContext, port: number, servername: string): Promise<http2.ClientHttp2Session> {
  const socket = await connect(t, port, servername, { ALPNProtocols: ['h2'] })
  const session = http2.connect(`https://${servername}`, { createConnection: () => socket })
  session.on('error', () => {})
  t.after(() => session.destroy())
  await once(session, 'connect')
  return session
}

export async function askStream(session: http2.ClientHttp2Session, host: string, url = '/'): Promise<SecureAnswer> {
  const stream = session.request({ ':path': url, ':authority': host })
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader]
  return { status: head[':status'], text: await text(stream) }
}
