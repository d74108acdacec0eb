import type http from 'node:http'
import type net from 'node:net'
import type tls from 'node:tls'
import type { ClientFacts } from '../label/trust.ts'
import type { ConnectionFacts } from '../wire/frames.ts'
import type { FrontChannel } from '../wire/front-channel.ts'

interface Binding {
  readonly channel: FrontChannel
  readonly number: number
  readonly clientAddress: string
  readonly encrypted: boolean
  /** The request that has the connection now, and is to hear when it closes. */
  watcher: CloseWatcher | undefined
}

/** What a context may learn of a client's socket; Node's own ones have it, and `runtime.fetch` is told. */
export interface PeerSocket {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly encrypted?: boolean | undefined
  /** Set by node:http on the sockets it serves. */
  readonly server?: { readonly keepAliveTimeout?: number | undefined; readonly maxRequestsPerSocket?: number | null | undefined } | undefined
}

/** Hears that its client's connection has closed. */
export interface CloseWatcher {
  closed(): void
}

const kBinding = Symbol('tenantry.binding')

interface BoundSocket extends net.Socket {
  [kBinding]?: Binding | undefined
}

/**
 * The number under which a context knows a client's connection. Requests of one
 * keep-alive connection share it, as they share a socket behind node:http. A
 * connection belongs to one context at a time, the last one it was used for, so
 * that a client cannot leave a trace in each of a thousand contexts. undefined
 * while another request has it (pipelining): taking it away would break that one off.
 */
export function connectionNumber(
  req: http.IncomingMessage,
  channel: FrontChannel,
  client: ClientFacts,
): number | undefined {
  const socket = req.socket as BoundSocket
  const bound = socket[kBinding]
  if (bound !== undefined) {
    if (bound.watcher !== undefined) return undefined
    if (bound.channel === channel && bound.clientAddress === client.clientAddress && bound.encrypted === client.encrypted) {
      return bound.number
    }
    bound.channel.disconnect(bound.number)
  } else {
    socket.once('close', onClose)
  }
  const number = channel.connect(factsOf(socket, client), () => socket.destroy())
  socket[kBinding] = { channel, number, clientAddress: client.clientAddress, encrypted: client.encrypted, watcher: undefined }
  return number
}

/** The relay into the context to which a client's connection is known. */
export function channelOf(socket: PeerSocket): FrontChannel | undefined {
  return (socket as BoundSocket)[kBinding]?.channel
}

/** The request has the connection now. */
export function watchClose(req: http.IncomingMessage, watcher: CloseWatcher): void {
  const bound = (req.socket as BoundSocket)[kBinding]
  if (bound !== undefined) bound.watcher = watcher
}

/** The request is over: the next one may have the connection. */
export function unwatchClose(req: http.IncomingMessage, watcher: CloseWatcher): void {
  const bound = (req.socket as BoundSocket)[kBinding]
  if (bound?.watcher === watcher) bound.watcher = undefined
}

/** An HTTP/2 stream, a pipelined request and one of `runtime.fetch` are connections of their own to the context; the caller disconnects them. */
export function streamNumber(req: { readonly socket: PeerSocket }, channel: FrontChannel, client: ClientFacts): number {
  return channel.connect(factsOf(req.socket, client), () => {})
}

/** The context has closed its side: the next request gets a new number. */
export function unbind(req: http.IncomingMessage, watcher: CloseWatcher): void {
  const socket = req.socket as BoundSocket
  const bound = socket[kBinding]
  if (bound?.watcher !== watcher) return
  bound.channel.disconnect(bound.number)
  socket[kBinding] = undefined
  socket.off('close', onClose)
}

function onClose(this: BoundSocket): void {
  const bound = this[kBinding]
  if (bound === undefined) return
  this[kBinding] = undefined
  bound.watcher?.closed()
  bound.channel.disconnect(bound.number)
}

function factsOf(socket: PeerSocket, client: ClientFacts): ConnectionFacts {
  const secure = socket as Partial<tls.TLSSocket>
  return {
    remoteAddress: client.clientAddress === '' ? undefined : client.clientAddress,
    remotePort: client.clientPort,
    remoteFamily: client.clientAddress === '' ? undefined : client.clientAddress.includes(':') ? 'IPv6' : 'IPv4',
    localAddress: socket.localAddress,
    localPort: socket.localPort,
    encrypted: client.encrypted,
    servername: typeof secure.servername === 'string' ? secure.servername : undefined,
    alpnProtocol: secure.alpnProtocol ?? undefined,
    keepAliveTimeout: socket.server?.keepAliveTimeout ?? 0,
    maxRequestsPerSocket: socket.server?.maxRequestsPerSocket ?? 0,
    tlsProtocol: secure.getProtocol?.() ?? undefined,
  }
}
