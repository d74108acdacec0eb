import http from 'node:http'
import { isHttp2 } from './response-head.ts'
import type { TenantryError } from '../errors.ts'

/** What a client may read about each status: never more than the code says, no path and no stack. */
const DETAIL: Readonly<Record<number, string>> = {
  400: 'The request names no valid host.',
  404: 'Nothing is served under this name.',
  408: 'The request came too slowly.',
  413: 'The request is larger than this server accepts.',
  421: 'This server does not serve this host.',
  500: 'The application could not be served.',
  502: 'The application ended while it was answering.',
  503: 'The server is at its limit; try again later.',
  504: 'The application did not answer in time.',
}

/** After these the connection's state is in doubt, or there is no point in keeping it. */
const CLOSES = new Set([400, 408, 413])

/**
 * The one place that answers for Tenantry itself. Sends nothing when an answer
 * has already begun: then the connection is destroyed, so that the client sees
 * a truncated answer and not a complete one.
 */
export function replyWithError(req: http.IncomingMessage, res: http.ServerResponse, error: TenantryError): void {
  if (res.headersSent) {
    destroyResponse(res)
    return
  }
  const status = error.status ?? 500
  const wantsProblem = req.headers.accept?.includes('application/problem+json') === true
  const title = http.STATUS_CODES[status] ?? 'Error'
  const detail = DETAIL[status] ?? title
  const body = wantsProblem
    ? JSON.stringify({ type: 'about:blank', title, status, detail, code: error.code })
    : `${status} ${title}\n${detail}\n`
  // What an outer framework or the application prepared does not describe this answer.
  for (const name of res.getHeaderNames()) if (name.startsWith('content-') || name === 'etag') res.removeHeader(name)
  res.statusCode = status
  if (!isHttp2(res)) res.statusMessage = title
  res.setHeader('Content-Type', wantsProblem ? 'application/problem+json' : 'text/plain; charset=utf-8')
  res.setHeader('Content-Length', Buffer.byteLength(body))
  res.setHeader('Cache-Control', 'no-store')
  if (error.retryAfter !== undefined) res.setHeader('Retry-After', String(Math.max(1, Math.ceil(error.retryAfter))))
  const closes = CLOSES.has(status) || error.code === 'ERR_DRAINING'
  if (closes && !isHttp2(res)) res.setHeader('Connection', 'close')
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** Breaks an answer off so that no client can take it for complete. */
export function destroyResponse(res: http.ServerResponse): void {
  if (isHttp2(res)) {
    const { stream } = res as unknown as { stream: { close(code: number): void } }
    stream.close(2 /* NGHTTP2_INTERNAL_ERROR */)
  } else {
    res.destroy()
  }
}
