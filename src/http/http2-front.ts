import { readBodyFacts } from '../connection/body-facts.ts'
import { isHttp2 } from '../connection/http2-stream.ts'
import type http from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { BodyFacts } from '../connection/body-facts.ts'

/**
 * How a request's body is announced, whatever it came on. HTTP/2 needs no field
 * for it: there is a body where the head's frame did not end the stream.
 */
export function bodyFactsOf(req: http.IncomingMessage, res: http.ServerResponse): BodyFacts {
  const facts = readBodyFacts(req.rawHeaders)
  if (!isHttp2(res) || facts.hasBody) return facts
  const { stream } = req as unknown as Http2ServerRequest
  return stream.endAfterHeaders ? facts : { hasBody: true, length: facts.length }
}

/**
 * An HTTP/2 head as an application behind HTTP/1 reads it: no pseudo-fields, the
 * authority as Host, and a body without a length as a chunked one.
 */
export function asHttp1(req: http.IncomingMessage, body: BodyFacts): string[] {
  const { authority } = req as { authority?: string }
  const fields: string[] = []
  let hasHost = false
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    const name = req.rawHeaders[at] as string
    if (name.startsWith(':')) continue
    hasHost ||= name === 'host'
    fields.push(name, req.rawHeaders[at + 1] as string)
  }
  if (body.hasBody && body.length === undefined) fields.push('transfer-encoding', 'chunked')
  return hasHost || authority === undefined ? fields : ['host', authority, ...fields]
}

/** The compatibility API takes trailers as an object only, and one value for each name. */
export function joinTrailers(trailers: readonly (readonly [name: string, value: string])[]): Record<string, string> {
  const joined = new Map<string, string>()
  for (const [name, value] of trailers) {
    const before = joined.get(name)
    joined.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return Object.fromEntries(joined)
}
