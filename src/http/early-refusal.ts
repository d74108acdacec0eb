import { parentOf } from '../connection/tls-handshake.ts'
import type net from 'node:net'
import type tls from 'node:tls'
import type { TenantryError } from '../errors.ts'
import type { PeerSocket } from './connections.ts'

const kRefusal = Symbol('tenantry.refusal')

interface RefusedSocket {
  [kRefusal]?: TenantryError | undefined
}

/** The first request of this connection has been refused: the server that reads it answers so, and decides nothing again. */
export function refuseFirstRequest(socket: net.Socket, error: TenantryError): void {
  ;(socket as RefusedSocket)[kRefusal] = error
}

/** Why this request has been refused before it was read; once. */
export function takeEarlyRefusal(socket: PeerSocket): TenantryError | undefined {
  const connection = (socket.encrypted === true ? parentOf(socket as tls.TLSSocket) : undefined) ?? socket
  const error = (connection as RefusedSocket)[kRefusal]
  if (error !== undefined) (connection as RefusedSocket)[kRefusal] = undefined
  return error
}
