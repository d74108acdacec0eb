import http from 'node:http'
import { isHttp2 } from '../connection/http2-stream.ts'
import { HeadFlag } from '../wire/frames.ts'

/** A response head from a context: its text, checked, and what the front has to know of it. */
export interface ResponseHead {
  readonly text: string
  /** The same in the application's characters, which HTTP/2 encodes itself. */
  readonly made: string
  readonly status: number
  /** The connection closes after the answer: node:http in the context has decided so, by this head or without it. */
  readonly last: boolean
  /** One character for each byte; most have ASCII only. */
  readonly ascii: boolean
  readonly chunked: boolean
  readonly length: number | undefined
  readonly hasDate: boolean
  /** Two ways to find the end of the body: whoever reads the other one takes the rest for another answer (RFC 9112 §6.3). */
  readonly ambiguous: boolean
}

/** What nearly every head is. */
const ASCII_HEAD = /^HTTP\/1\.1 [1-9]\d\d [\t\x20-\x7e]*\r\n(?:[-!#$%&'*+.^_`|~\dA-Za-z]+: [\t\x20-\x7e]*\r\n)*\r\n$/

/** RFC 9110 §5: field names are tokens, values hold no control character; what node:http itself would let through. */
const HEAD = /^HTTP\/1\.1 [1-9]\d\d [\t\x20-\x7e\x80-\xff]*\r\n(?:[-!#$%&'*+.^_`|~\dA-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*\r\n$/

/** Reads the text that node:http made in the context, with bits of HeadFlag; undefined when it is not a head. */
export function readResponseHead(made: string, flags = 0): ResponseHead | undefined {
  const ascii = ASCII_HEAD.test(made)
  if (!ascii && !HEAD.test(made)) return undefined
  const text = ascii || !(flags & HeadFlag.UTF8) ? made : Buffer.from(made).toString('latin1')
  let chunked = false
  let length: number | undefined
  let hasDate = false
  let ambiguous = false
  // One pass; only fields whose name has the right length are looked at more closely.
  for (let at = text.indexOf('\r\n') + 2; at < text.length - 2; ) {
    const end = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    switch (colon - at) {
      case 4:
        hasDate ||= isNamed(text, at, colon, 'date')
        break
      case 14:
        if (!isNamed(text, at, colon, 'content-length')) break
        ambiguous ||= length !== undefined
        length = Number(text.slice(colon + 2, end))
        break
      case 17:
        if (isNamed(text, at, colon, 'transfer-encoding')) chunked = /chunked/i.test(text.slice(colon, end))
        break
    }
    at = end + 2
  }
  ambiguous ||= (chunked && length !== undefined) || (length !== undefined && !Number.isSafeInteger(length))
  const last = (flags & HeadFlag.LAST) !== 0
  return { text, made, status: Number(text.slice(9, 12)), last, ascii, chunked, length, hasDate, ambiguous }
}

function isNamed(text: string, from: number, to: number, name: string): boolean {
  return text.slice(from, to).toLowerCase() === name
}

/** The fields of a head: name, value, name, value …, in the order and case the application gave them. */
export function fieldsOf({ text }: Pick<ResponseHead, 'text'>): string[] {
  const fields: string[] = []
  for (const line of text.slice(text.indexOf('\r\n') + 2, -4).split('\r\n')) {
    const colon = line.indexOf(': ')
    if (colon > 0) fields.push(line.slice(0, colon), line.slice(colon + 2))
  }
  return fields
}

/** What node:http keeps of a head that it has made; the same names from Node 20 to 26. */
interface MadeHead extends http.ServerResponse {
  _header: string | null
  _headerSent: boolean
  _hasBody: boolean
  _last: boolean
  _contentLength: number | null
  chunkedEncoding: boolean
  _send(data: string, encoding: 'latin1'): boolean
}

// oxlint-disable-next-line typescript/unbound-method -- compared, never called
const { writeHead } = http.ServerResponse.prototype

/**
 * Writes a context's head to the client. On HTTP/1 it goes out to the byte as
 * the application's own node:http made it, so Date, Connection and framing are
 * the application's. Where the response is a plain one, the text is handed over
 * as made: to take it apart and let node:http make it again costs 2 µs of a
 * request's 20 (measured). Throws what node:http throws for a field it refuses.
 */
export function writeResponseHead(res: http.ServerResponse, head: ResponseHead): void {
  if (isHttp2(res)) {
    if (!head.hasDate) res.sendDate = false
    writeMerged(res, dropHopByHop(fieldsOf({ text: head.made })))
    res.writeHead(head.status)
  } else if (res.writeHead === writeHead && res.getHeaderNames().length === 0 && '_header' in res) {
    handOver(res as MadeHead, head)
  } else {
    writeFields(res, head)
    if ('_last' in res) (res as MadeHead)._last = head.last
  }
  // Alone, and as the bytes that it is: what leaves together with it would have a say in its encoding.
  if (!head.ascii && '_send' in res) (res as MadeHead)._send('', 'latin1')
}

/** Leaves the response in the state that `writeHead` with the same head leaves it in. */
function handOver(res: MadeHead, head: ResponseHead): void {
  const { status, text, chunked, length } = head
  res.statusCode = status
  res.statusMessage = text.slice(13, text.indexOf('\r\n'))
  if (status === 204 || status === 304 || status < 200) res._hasBody = false
  res.chunkedEncoding = chunked && res._hasBody
  res._contentLength = length ?? null
  res._last = head.last
  res._header = text
  res._headerSent = false
}

/** Through node:http's own front door: where an outer framework has set fields or watches writeHead. */
function writeFields(res: http.ServerResponse, head: ResponseHead): void {
  const fields = fieldsOf(head)
  // What node:http would add by itself, the application has removed.
  if (!head.hasDate) res.sendDate = false
  if (!fields.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'connection')) res.removeHeader('connection')
  if (!head.chunked && head.length === undefined) {
    res.removeHeader('content-length')
    res.removeHeader('transfer-encoding')
  }
  // Fields of the outer framework stay; handing ours to writeHead would lose duplicates on Node 20.
  writeMerged(res, fields)
  res.writeHead(head.status, head.text.slice(13, head.text.indexOf('\r\n')))
}

function writeMerged(res: http.ServerResponse, fields: readonly string[]): void {
  const merged = new Map<string, { name: string; values: string[] }>()
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const key = name.toLowerCase()
    const entry = merged.get(key) ?? { name, values: [] }
    entry.values.push(fields[at + 1] as string)
    merged.set(key, entry)
  }
  for (const { name, values } of merged.values()) {
    res.setHeader(name, values.length === 1 ? (values[0] as string) : values)
  }
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
export function dropHopByHop(fields: readonly string[]): string[] {
  const kept: string[] = []
  const named = new Set<string>()
  for (let at = 0; at < fields.length; at += 2) {
    if ((fields[at] as string).toLowerCase() !== 'connection') continue
    for (const name of (fields[at + 1] as string).split(',')) named.add(name.trim().toLowerCase())
  }
  for (let at = 0; at < fields.length; at += 2) {
    const name = (fields[at] as string).toLowerCase()
    if (!HOP_BY_HOP.has(name) && !named.has(name)) kept.push(fields[at] as string, fields[at + 1] as string)
  }
  return kept
}
