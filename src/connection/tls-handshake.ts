import { TenantryError } from '../errors.ts'
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

/**
 * Why a handshake failed, from what a server's 'tlsClientError' says; undefined where the client is all there is to
 * blame: it left, or trusts another certificate.
 */
export function handshakeError({ code = '', reason }: NodeJS.ErrnoException & { readonly reason?: string }): TenantryError | undefined {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return new TenantryError('ERR_READ_TIMEOUT', 'A handshake took longer than headerTimeout')
  if (!code.startsWith('ERR_SSL_') || code.includes('ALERT')) return undefined
  return new TenantryError('ERR_TLS_HANDSHAKE', `A handshake failed: ${reason ?? code}`)
}
