import type net from 'node:net'
import type tls from 'node:tls'

/** Undocumented, and unchanged from Node 20 to 26. */
interface WrappingSocket extends tls.TLSSocket {
  readonly _parent?: net.Socket | null
}

/** The connection that a server's TLS is spoken over. */
export function parentOf(socket: tls.TLSSocket): net.Socket | undefined {
  return (socket as WrappingSocket)._parent ?? undefined
}
