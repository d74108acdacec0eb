import { readBodyFacts } from './body-facts.ts'
import { isHttp2 } from './response-head.ts'
import type http from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { BodyFacts } from './body-facts.ts'

/**
 * How a request's body is announced, whatever it came on. HTTP/2 needs no field
 * for it: there is a body where the head's frame did not end the stream. Its
 * application reads HTTP/1, in which a body without a length is a chunked one.
 */
export function bodyFactsOf(req: http.IncomingMessage, res: http.ServerResponse): BodyFacts {
  const facts = readBodyFacts(req.rawHeaders)
  if (!isHttp2(res)) return facts
  completeTrailers(res as unknown as Http2ServerResponse)
  const { stream } = req as unknown as Http2ServerRequest
  if (stream.endAfterHeaders || facts.hasBody) return facts
  if (facts.length === undefined) req.rawHeaders.push('transfer-encoding', 'chunked')
  return { hasBody: true, length: facts.length }
}

/** The compatibility API takes trailers as an object only, and one value for each name; node:http takes pairs. */
function completeTrailers(res: Http2ServerResponse): void {
  const addTrailers = res.addTrailers.bind(res)
  res.addTrailers = (trailers) => {
    if (!Array.isArray(trailers)) return addTrailers(trailers)
    const merged = new Map<string, string[]>()
    for (const [name, value] of trailers as [string, string][]) merged.set(name, [...(merged.get(name) ?? []), value])
    addTrailers(Object.fromEntries([...merged].map(([name, values]) => [name, values.join(', ')])))
  }
}
