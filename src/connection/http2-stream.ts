import type http from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

/** A response on an HTTP/2 stream, whose compat API has the same methods. */
export function isHttp2(res: http.ServerResponse): boolean {
  return res.req.httpVersionMajor === 2 && (res as unknown as Http2ServerResponse).stream !== undefined
}

/** A stream of HTTP/2 that was reset, also before it says so: Node 20.19 throws where a head is written to one. */
export function isGone(res: http.ServerResponse): boolean {
  return isHttp2(res) && (res as unknown as Http2ServerResponse).stream.closed
}
