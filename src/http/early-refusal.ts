import type net from 'node:net'
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
  const error = (socket as RefusedSocket)[kRefusal]
  if (error !== undefined) (socket as RefusedSocket)[kRefusal] = undefined
  return error
}
