import { isIP } from 'node:net'
import { bodyConsumed, bodyTooLarge } from './body-facts.ts'
import { responseOf } from './error-reply.ts'
import { FetchRelay } from './fetch-relay.ts'
import { Passage, publishRefusal } from './passage.ts'
import { dropHopByHop } from './response-head.ts'
import type { TenantryError } from '../errors.ts'
import type { HandlerDeadlines } from './handler-deadlines.ts'
import type { Outlet, RequestSource } from './passage.ts'
import type { Lease } from '../group/lease.ts'
import type { ClientFacts } from '../label/trust.ts'

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

/** What a passage needs of its dispatcher. */
interface Dispatch {
  readonly deadlines: HandlerDeadlines
  nextRequestId(): number
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

/** How often the timer fires that keeps the process alive: it only has to be there. Milliseconds. */
const HOLD_INTERVAL = 60_000

/**
 * An abort of the request, seen as the close of a client's connection. As an open
 * connection would, it keeps the process alive: a context that dies does not.
 */
class AbortOutlet implements Outlet {
  readonly #signal: AbortSignal
  readonly #hold: NodeJS.Timeout | undefined
  readonly #listeners: (() => void)[] = []
  readonly #onAbort = (): void => {
    clearInterval(this.#hold)
    for (const listener of this.#listeners.splice(0)) listener()
  }

  constructor(signal: AbortSignal) {
    this.#signal = signal
    if (!signal.aborted) this.#hold = setInterval(() => {}, HOLD_INTERVAL)
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  get destroyed(): boolean {
    return this.#signal.aborted
  }

  once(_event: 'close', listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The request is over: a signal may live longer than it. */
  detach(): void {
    clearInterval(this.#hold)
    this.#listeners.length = 0
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}

/** A fetch-style request on its way to a relay. */
export class FetchPassage extends Passage<FetchSource> {
  readonly #dispatch: Dispatch
  readonly #settle: Settle
  readonly #outlet: AbortOutlet

  constructor(dispatch: Dispatch, request: Request, info: PeerInfo = {}, settle: Settle) {
    const outlet = new AbortOutlet(request.signal)
    super(new FetchSource(request, info), outlet)
    this.#dispatch = dispatch
    this.#settle = settle
    this.#outlet = outlet
    const giveUp = (): void => settle.reject(request.signal.reason)
    outlet.once('close', giveUp)
    if (outlet.destroyed) giveUp()
  }

  protected enter(lease: Lease, mount: number, client: ClientFacts): void {
    const { request } = this.req
    if (request.bodyUsed) throw bodyConsumed(lease.label)
    const { bodyLimit } = lease.limits
    if (bodyLimit > 0 && Number(request.headers.get('content-length')) > bodyLimit) throw bodyTooLarge(bodyLimit, lease.label)
    const { deadlines } = this.#dispatch
    const task = { lease, mount, client, requestId: this.#dispatch.nextRequestId(), deadlines }
    const relay = new FetchRelay(this.req, task, this.#settle, () => this.#outlet.detach())
    this.#outlet.once('close', () => relay.aborted())
  }

  protected refuse(error: TenantryError): void {
    publishRefusal(this.req, error)
    this.#outlet.detach()
    this.#settle.resolve(responseOf(this.req.request, error))
  }
}
