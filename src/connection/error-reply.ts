import { isGone, isHttp2 } from './http2-stream.ts'
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import type { ErrorCode, TenantryError } from '../errors.ts'

/** Not by `import`, which in a context would load more than the rest of its server; see tenant/node-internals.ts. */
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** What a client may read about each status: never more than the code says, no path and no stack. */
const DETAIL: Readonly<Record<number, string>> = {
  400: 'The request names no valid host.',
  403: 'The request is not allowed.',
  404: 'Nothing is served under this name.',
  408: 'The request came too slowly.',
  413: 'The request is larger than this server accepts.',
  421: 'This server does not serve this host.',
  500: 'The application could not be served.',
  502: 'The application ended while it was answering.',
  503: 'The server is at its limit; try again later.',
  504: 'The application did not answer in time.',
}

/** Where the sentence of the status would say what is not so. */
const DETAIL_OF_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  ERR_GROUP_BACKOFF: 'The application failed a moment ago; try again later.',
  ERR_DRAINING: 'The server is closing; try again later.',
  ERR_MISDIRECTED: 'This connection serves another host; try again on a new one.',
}

/** After these the connection's state is in doubt, or there is no point in keeping it. */
const CLOSES = new Set([400, 408, 413])

/** The same, where the status alone does not say so. */
const CLOSING_CODES: ReadonlySet<ErrorCode> = new Set(['ERR_DRAINING', 'ERR_MISDIRECTED'])

/** What Tenantry itself answers, whatever carries it. */
export interface ErrorReply {
  readonly status: number
  readonly title: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** The text of an error's answer; `accept`: the request's field. */
export function errorReply(error: TenantryError, accept: string | null | undefined): ErrorReply {
  const status = error.status ?? 500
  const wantsProblem = accept?.includes('application/problem+json') === true
  const title = STATUS_CODES[status] ?? 'Error'
  const detail = DETAIL_OF_CODE[error.code] ?? DETAIL[status] ?? title
  const body = wantsProblem
    ? JSON.stringify({ type: 'about:blank', title, status, detail, code: error.code })
    : `${status} ${title}\n${detail}\n`
  const fields: [string, string][] = [
    ['Content-Type', wantsProblem ? 'application/problem+json' : 'text/plain; charset=utf-8'],
    ['Content-Length', String(Buffer.byteLength(body))],
    ['Cache-Control', 'no-store'],
  ]
  if (error.retryAfter !== undefined) fields.push(['Retry-After', String(Math.max(1, Math.ceil(error.retryAfter)))])
  return { status, title, fields, body }
}

/**
 * The one place that answers for Tenantry itself on a response of Node's. Sends
 * nothing when an answer has already begun: then the connection is destroyed, so
 * that the client sees that it is cut.
 */
export function replyWithError(req: http.IncomingMessage, res: http.ServerResponse, error: TenantryError): void {
  if (isGone(res)) return
  if (res.headersSent) {
    destroyResponse(res)
    return
  }
  const { status, title, fields, body } = errorReply(error, req.headers.accept)
  // What an outer framework or the application prepared does not describe this answer.
  for (const name of res.getHeaderNames()) if (name.startsWith('content-') || name === 'etag') res.removeHeader(name)
  res.statusCode = status
  if (!isHttp2(res)) res.statusMessage = title
  for (const [name, value] of fields) res.setHeader(name, value)
  const closes = CLOSES.has(status) || CLOSING_CODES.has(error.code)
  if (closes && !isHttp2(res)) res.setHeader('Connection', 'close')
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** The same without a response of Node's; it closes. */
export function rawErrorReply(error: TenantryError, req?: http.IncomingMessage): string {
  const { status, title, fields, body } = errorReply(error, req?.headers.accept)
  const lines = [...fields, ['Connection', 'close'] as const].map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${title}\r\n${lines.join('')}\r\n${req?.method === 'HEAD' ? '' : body}`
}

/** Answers an upgrade that no application will see, and closes: a client that keeps its half open holds nothing. */
export function refuseUpgrade(socket: Duplex, error: TenantryError): void {
  const status = error.status ?? 500
  const retry = error.retryAfter === undefined ? '' : `Retry-After: ${Math.max(1, Math.ceil(error.retryAfter))}\r\n`
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n${retry}Connection: close\r\nContent-Length: 0\r\n\r\n`
  socket.end(head, () => socket.destroy())
}

/** Breaks an answer off so that no client can take it for complete. */
export function destroyResponse(res: http.ServerResponse): void {
  if (isHttp2(res)) {
    const { stream } = res as unknown as { stream: { close(code: number): void } }
    stream.close(2 /* NGHTTP2_INTERNAL_ERROR */)
  } else if (endsWithConnection(res)) {
    reset(res)
  } else {
    res.destroy()
  }
}

/** Neither chunks nor a length tell where such a body ends: a plain close would look like its end. */
function endsWithConnection(res: http.ServerResponse): boolean {
  const { _header: head } = res as { _header?: unknown }
  return typeof head === 'string' && !/^(content-length|transfer-encoding):/im.test(head)
}

/** What a client cannot take for an end. TLS has its own word for that, which is missing where a connection breaks off. */
function reset(res: http.ServerResponse): void {
  try {
    res.socket?.resetAndDestroy()
  } catch {
    // Only TCP knows it.
  }
  res.destroy()
}
