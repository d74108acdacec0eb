import { Readable } from 'node:stream'
import type http from 'node:http'
import type { Lifecycle } from './lifecycle.ts'

/** The third argument of a fetch handler, as edge runtimes pass it. */
export interface FetchContext {
  waitUntil(promise: unknown): void
  passThroughOnException(): void
}

type FetchHandler = (request: Request, context: FetchContext) => unknown

/** Serves a fetch handler on Node's request and response, streaming both ways. */
export function nodeHandler(
  fetchHandler: FetchHandler,
  lifecycle: Lifecycle,
): (req: http.IncomingMessage, res: http.ServerResponse) => void {
  const context: FetchContext = {
    waitUntil: (promise) => lifecycle.waitUntil(promise),
    passThroughOnException() {},
  }
  return (req, res) => {
    serve(fetchHandler, req, res, context).catch((error: unknown) => {
      // A fetch handler that fails answers 500, or breaks the answer off: it does not end the context.
      if (!res.destroyed) console.error(error)
      if (res.headersSent) res.destroy()
      else res.writeHead(500, ['Content-Type', 'text/plain; charset=utf-8']).end('Internal Server Error\n')
    })
  }
}

async function serve(
  fetchHandler: FetchHandler,
  req: http.IncomingMessage,
  res: http.ServerResponse,
  context: FetchContext,
): Promise<void> {
  const response = await fetchHandler(toRequest(req, res), context)
  if (!isResponse(response)) throw new TypeError(`The fetch handler answered with ${String(response)}, not with a Response`)
  // Response.error(): a network error has no HTTP form.
  if (response.status === 0) {
    res.destroy()
    return
  }
  const headers: string[] = []
  // Headers yields each Set-Cookie by itself.
  for (const [name, value] of response.headers) headers.push(name, value)
  res.writeHead(response.status, response.statusText || undefined, headers)
  if (response.body === null) res.end()
  else await pump(response.body, res)
}

function toRequest(req: http.IncomingMessage, res: http.ServerResponse): Request {
  const { socket, method = 'GET' } = req
  const protocol = (socket as { encrypted?: boolean }).encrypted === true ? 'https' : 'http'
  const headers = new Headers()
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    headers.append(req.rawHeaders[at] as string, req.rawHeaders[at + 1] as string)
  }
  const controller = new AbortController()
  res.once('close', () => {
    if (!res.writableFinished) controller.abort()
  })
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const init: RequestInit & { duplex?: 'half' } = { method, headers, signal: controller.signal }
  if (hasBody) {
    init.body = Readable.toWeb(req) as ReadableStream
    init.duplex = 'half'
  }
  // Joined as text: `new URL('//evil', base)` would take the path for a host.
  const url = req.url as string
  const origin = `${protocol}://${req.headers.host ?? 'localhost'}`
  return new Request(url.startsWith('/') ? origin + url : new URL(url, origin), init)
}

/** By shape: an application may bring a Response class of its own. */
function isResponse(value: unknown): value is Response {
  return typeof value === 'object' && value !== null && 'status' in value && 'headers' in value && 'body' in value
}

/** Copies a body with back-pressure; a client that left cancels it, also while its source is silent. */
async function pump(body: ReadableStream<Uint8Array>, res: http.ServerResponse): Promise<void> {
  const reader = body.getReader()
  let wake: (() => void) | undefined
  const onDrain = (): void => wake?.()
  const onClose = (): void => {
    wake?.()
    // Ends a read that waits; a source that fails to be cancelled has nobody left to tell.
    reader.cancel().catch(() => {})
  }
  res.on('drain', onDrain)
  res.on('close', onClose)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (res.destroyed) return
      if (done) break
      if (!res.write(value) && !res.destroyed) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    res.off('close', onClose)
    res.end()
  } finally {
    res.off('drain', onDrain)
  }
}
