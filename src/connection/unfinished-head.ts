import { Buffer } from 'node:buffer'
import type net from 'node:net'

/** Undocumented, and unchanged from Node 20 to 26: a connection's parser is a property of its socket. */
interface ParsedSocket extends net.Socket {
  readonly parser?: { execute(bytes: Uint8Array): unknown } | null
}

/** llhttp's errors up to the end of the request line; what stands behind the version has only its reason. */
const IN_LINE = /^HPE_INVALID_(METHOD|URL|CONSTANT|VERSION)$/

const NUL = Buffer.alloc(1)

/** False once the connection is no longer HTTP/1's: after an upgrade. */
export function isParsed(socket: net.Socket): boolean {
  return (socket as ParsedSocket).parser?.execute !== undefined
}

/**
 * Whether an unfinished head has its request line. What came is inside Node's
 * parser, which does not show it; but a NUL is an error wherever a head may
 * stand, and the error says where. Only for a connection that will be closed:
 * its parser takes nothing after this.
 */
export function hasRequestLine(socket: net.Socket): boolean {
  const { parser } = socket as ParsedSocket
  const error = parser?.execute(NUL) as { readonly code?: unknown; readonly reason?: unknown } | undefined
  if (typeof error?.code !== 'string' || typeof error.reason !== 'string') return false
  return !IN_LINE.test(error.code) && !error.reason.includes('version')
}
