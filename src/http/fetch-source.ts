import { isIP } from 'node:net'
import { dropHopByHop } from './response-head.ts'
import type { RequestSource } from './passage.ts'

/** What a fetch-style host knows of its client: a Request says nothing about the connection it came on. */
export interface PeerInfo {
  /** The client's IP address. Default: unknown, as behind a Unix socket. */
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  /** The accepting port, which may be part of a group's name. Default: the URL's. */
  readonly localPort?: number | undefined
  /** Whether the client came by TLS. Default: whether the URL says `https:`. */
  readonly encrypted?: boolean | undefined
}

/** How the caller of `runtime.fetch` is answered: once. */
export interface Settle {
  resolve(response: Response): void
  reject(reason: unknown): void
}

/** A Request as the dispatcher reads it: like HTTP/2's, with the URL's host for the authority. */
export class FetchSource implements RequestSource {
  readonly request: Request
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly headers: { readonly host?: string | undefined }
  readonly httpVersionMajor = 2
  readonly httpVersionMinor = 0
  readonly authority: string
  readonly socket: Required<PeerInfo>

  constructor(request: Request, info: PeerInfo) {
    const url = new URL(request.url)
    this.request = request
    this.method = request.method
    this.url = url.pathname + url.search
    this.authority = url.host
    this.headers = { host: request.headers.get('host') ?? undefined }
    this.rawHeaders = fieldsOf(request, url.host)
    const encrypted = info.encrypted ?? url.protocol === 'https:'
    this.socket = {
      remoteAddress: info.remoteAddress !== undefined && isIP(info.remoteAddress) !== 0 ? info.remoteAddress : undefined,
      remotePort: info.remotePort,
      localAddress: info.localAddress,
      localPort: info.localPort ?? (url.port === '' ? undefined : Number(url.port)),
      encrypted,
    }
  }
}

/** The fields as an application behind HTTP/1.1 reads them; how a body ends is said by what there is of it. */
function fieldsOf({ headers, body }: Request, host: string): string[] {
  const fields: string[] = headers.has('host') ? [] : ['host', host]
  for (const [name, value] of headers) {
    // One that announces a body that is not there would be waited for.
    if (name === 'content-length' && body === null && value !== '0') continue
    fields.push(name, value)
  }
  const kept = dropHopByHop(fields)
  if (body !== null && !headers.has('content-length')) kept.push('transfer-encoding', 'chunked')
  return kept
}
