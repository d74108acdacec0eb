import { randomBytes } from 'node:crypto'
import { Duplex } from 'node:stream'
import { dropHopByHop, fieldsOf, readResponseHead } from './response-head.ts'
import type http from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'

/** The longest answer to an upgrade that is waited for: Node's own limit for a head. */
const MAX_ANSWER = 16 * 1024

/** NGHTTP2_INTERNAL_ERROR: what a stream that breaks off says. */
const INTERNAL_ERROR = 2

/** An upgrade as HTTP/1 knows it. */
export interface Upgrade {
  readonly req: http.IncomingMessage
  readonly socket: Duplex
}

/**
 * A WebSocket (or another protocol) on a stream of HTTP/2: RFC 8441's extended
 * CONNECT, made into the upgrade that an application behind HTTP/1 knows.
 * undefined for what is no HTTP/2. A CONNECT without a protocol asks for a proxy,
 * which nobody here is: 405, and null.
 */
export function readExtendedConnect(req: http.IncomingMessage, second: unknown): Upgrade | null | undefined {
  // Not by the version: node:http takes a request line of HTTP/1 that ends in HTTP/2.0.
  if (!('stream' in req)) return undefined
  const { stream, headers, authority, rawHeaders, url } = req as unknown as Http2ServerRequest
  const protocol = (headers as Record<string, unknown>)[':protocol']
  if (typeof protocol !== 'string') {
    const res = second as Http2ServerResponse
    res.statusCode = 405
    res.end()
    return null
  }
  const fields: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!(rawHeaders[at] as string).startsWith(':')) fields.push(rawHeaders[at] as string, rawHeaders[at + 1] as string)
  }
  const kept = dropHopByHop(fields)
  if (headers.host === undefined) kept.unshift('host', authority)
  kept.push('connection', 'Upgrade', 'upgrade', protocol)
  // HTTP/2 has no use for the handshake's key, but an application that makes its answer from one has.
  if (protocol === 'websocket') kept.push('sec-websocket-key', randomBytes(16).toString('base64'))
  const upgrade = { method: 'GET', url, rawHeaders: kept, headers, authority, httpVersionMajor: 2, httpVersionMinor: 0, socket: req.socket }
  return { req: upgrade as unknown as http.IncomingMessage, socket: new StreamSocket(stream) }
}

/** A stream of HTTP/2 as the socket of an upgrade: what is written first is an answer of HTTP/1, and becomes its head. */
class StreamSocket extends Duplex {
  readonly #stream: ServerHttp2Stream
  #answer: Buffer | undefined = Buffer.alloc(0)
  #refused = false

  constructor(stream: ServerHttp2Stream) {
    super({ allowHalfOpen: true })
    this.#stream = stream
    stream.on('data', (bytes: Uint8Array) => {
      if (!this.push(bytes)) stream.pause()
    })
    stream.on('end', () => this.push(null))
    stream.on('error', () => {})
    stream.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#stream.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#refused) return done()
    if (this.#answer === undefined) {
      this.#stream.write(chunk, () => done())
      return
    }
    this.#answer = Buffer.concat([this.#answer, chunk])
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end !== -1) {
      const [head, rest] = [this.#answer.toString('latin1', 0, end + 4), this.#answer.subarray(end + 4)]
      this.#answer = undefined
      this.#respond(head, rest)
    } else if (this.#answer.length > MAX_ANSWER) this.destroy()
    done()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end()
    // A refused client may keep its half open for ever, and would hold a slot with it.
    if (this.#refused) this.#close(0)
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#close(this.writableFinished ? 0 : INTERNAL_ERROR)
    done(error)
  }

  /** A turn later: on Node 26 a reset overtakes the head that was sent in the same turn. */
  #close(code: number): void {
    setImmediate(() => {
      if (!this.#stream.closed) this.#stream.close(code)
    })
  }

  /** 101 is 200 here (RFC 8441 §5.1); a refusal keeps its status, and its body of HTTP/1 is left out. */
  #respond(text: string, rest: Uint8Array): void {
    const head = readResponseHead(text)
    if (head === undefined || this.#stream.closed) {
      this.destroy()
      return
    }
    const headers: OutgoingHttpHeaders = { ':status': head.status === 101 ? 200 : head.status }
    const fields = dropHopByHop(fieldsOf(head))
    for (let at = 0; at < fields.length; at += 2) {
      const name = (fields[at] as string).toLowerCase()
      const before = headers[name]
      if (name === 'sec-websocket-accept' || name === 'content-length') continue
      headers[name] = before === undefined ? (fields[at + 1] as string) : [before as string, fields[at + 1] as string].flat()
    }
    this.#refused = head.status !== 101
    this.#stream.respond(headers, { endStream: this.#refused })
    if (!this.#refused && rest.byteLength > 0) this.#stream.write(rest)
  }
}
