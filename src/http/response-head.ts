import type http from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

/** A response head from a context, taken apart; node:http checks each name and value again when it is written. */
export interface ResponseHead {
  readonly status: number
  readonly message: string
  /** Name, value, name, value …, in the order and case the application gave them. */
  readonly headers: string[]
  readonly hasConnection: boolean
  readonly hasDate: boolean
  readonly hasFraming: boolean
}

const STATUS_LINE = /^HTTP\/1\.1 ([1-9]\d\d) (.*)$/

/** Reads the text that node:http made in the context; undefined when it is not a head. */
export function parseResponseHead(text: string): ResponseHead | undefined {
  const first = text.indexOf('\r\n')
  const line = STATUS_LINE.exec(first === -1 ? text : text.slice(0, first))
  if (line === null || !text.endsWith('\r\n\r\n')) return undefined
  const headers: string[] = []
  let hasConnection = false
  let hasDate = false
  let hasFraming = false
  for (let at = first + 2; at < text.length - 2; ) {
    const end = text.indexOf('\r\n', at)
    const colon = text.indexOf(': ', at)
    if (end <= at || colon <= at || colon > end) return undefined
    const name = text.slice(at, colon)
    headers.push(name, text.slice(colon + 2, end))
    switch (name.length) {
      case 4:
        hasDate ||= name.toLowerCase() === 'date'
        break
      case 10:
        hasConnection ||= name.toLowerCase() === 'connection'
        break
      case 14:
        hasFraming ||= name.toLowerCase() === 'content-length'
        break
      case 17:
        hasFraming ||= name.toLowerCase() === 'transfer-encoding'
        break
    }
    at = end + 2
  }
  return { status: Number(line[1]), message: line[2] as string, headers, hasConnection, hasDate, hasFraming }
}

/**
 * Writes a context's head to the client. On HTTP/1 the head goes out as the
 * application made it, to the byte, since the context's node:http has already
 * decided about Date, Connection and framing. Throws what node:http throws for a
 * name or a value that is not allowed.
 */
export function writeResponseHead(res: http.ServerResponse, head: ResponseHead): void {
  if (isHttp2(res)) {
    writeMerged(res, dropHopByHop(head.headers))
    res.writeHead(head.status)
    return
  }
  // What node:http would add by itself, the application has removed.
  if (!head.hasDate) res.sendDate = false
  if (!head.hasConnection) res.removeHeader('connection')
  if (!head.hasFraming) {
    res.removeHeader('content-length')
    res.removeHeader('transfer-encoding')
  }
  if (res.getHeaderNames().length === 0) {
    res.writeHead(head.status, head.message, head.headers)
  } else {
    // Headers of an outer framework stay; Node 20 would drop duplicates of ours here.
    writeMerged(res, head.headers)
    res.writeHead(head.status, head.message)
  }
}

/** A response on an HTTP/2 stream, whose compat API has the same methods. */
export function isHttp2(res: http.ServerResponse): boolean {
  return res.req.httpVersionMajor === 2 && (res as unknown as Http2ServerResponse).stream !== undefined
}

function writeMerged(res: http.ServerResponse, headers: readonly string[]): void {
  const merged = new Map<string, { name: string; values: string[] }>()
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    const key = name.toLowerCase()
    const entry = merged.get(key) ?? { name, values: [] }
    entry.values.push(headers[at + 1] as string)
    merged.set(key, entry)
  }
  for (const { name, values } of merged.values()) res.setHeader(name, values.length === 1 ? (values[0] as string) : values)
}

/** RFC 9110 §7.6.1 and RFC 9113 §8.2.2: the fields that belong to one HTTP/1 connection. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** The one place where hop-by-hop fields are dropped: on the way to anything that is not HTTP/1. */
export function dropHopByHop(headers: readonly string[]): string[] {
  const kept: string[] = []
  const named = new Set<string>()
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] as string).toLowerCase() !== 'connection') continue
    for (const name of (headers[at + 1] as string).split(',')) named.add(name.trim().toLowerCase())
  }
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase()
    if (!HOP_BY_HOP.has(name) && !named.has(name)) kept.push(headers[at] as string, headers[at + 1] as string)
  }
  return kept
}
