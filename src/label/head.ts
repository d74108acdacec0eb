import { TenantryError } from '../errors.ts'
import { parseAuthority, type Authority } from './host.ts'
import { quoted } from './quoted.ts'
import type { RequestFacts } from './request-facts.ts'

/** What is read of a request: an `IncomingMessage`'s own fields, and what its connection knows. */
export interface RequestHead {
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly httpVersionMajor: number
  readonly httpVersionMinor: number
  /** The port of the socket that accepted the connection. */
  readonly acceptingPort: number
  /** TLS on this connection; decides whether `http:` or `https:` is our own scheme. Default: not. */
  readonly encrypted?: boolean | undefined
  /** HTTP/2's `:authority`, where the request has one. */
  readonly authority?: string | undefined
}

const SLASH = 47
/** Longer than any scheme that is served, and a bound for the search of `://`. */
const MAX_SCHEME = 32

/**
 * Checks the head's host and makes the facts that labels are expanded from.
 * Throws ERR_HOST_INVALID: no Host in HTTP/1.1, more than one, one that is
 * malformed (also where another source would win), or two sources that differ.
 */
export function readFacts(head: RequestHead): RequestFacts {
  const { method, url, rawHeaders, acceptingPort } = head
  const named = head.httpVersionMajor > 1 ? fromAuthority(head) : fromHost(head)
  const target = fromTarget(head)
  // RFC 9112 3.2.2: an absolute-form target wins over Host.
  const chosen = target ?? named
  return { host: chosen?.host, hostPort: chosen?.port, acceptingPort, method, url, rawHeaders }
}

/** HTTP/1: exactly one Host; HTTP/1.0 may do without, or leave it empty. */
function fromHost(head: RequestHead): Authority | undefined {
  const text = onlyHost(head.rawHeaders)
  const old = head.httpVersionMajor < 1 || head.httpVersionMinor === 0
  if (text === undefined) {
    if (old) return undefined
    throw new TenantryError('ERR_HOST_INVALID', 'an HTTP/1.1 request needs a Host header')
  }
  return text === '' && old ? undefined : parsed(text, 'Host header')
}

/** HTTP/2: `:authority`; a Host beside it says the same (RFC 9113 8.3.1), a Host alone stands for it. */
function fromAuthority(head: RequestHead): Authority {
  const host = onlyHost(head.rawHeaders)
  if (head.authority === undefined && host === undefined) {
    throw new TenantryError('ERR_HOST_INVALID', 'the request has neither :authority nor a Host header')
  }
  if (head.authority === undefined) return parsed(host ?? '', 'Host header')
  const authority = parsed(head.authority, ':authority')
  if (host !== undefined && host !== head.authority) {
    const beside = parsed(host, 'Host header')
    if (beside.host !== authority.host || beside.port !== authority.port) {
      const both = `:authority ${quoted(head.authority)} and Host ${quoted(host)}`
      throw new TenantryError('ERR_HOST_INVALID', `${both} differ`)
    }
  }
  return authority
}

/**
 * The authority of an absolute-form target, or undefined for the other forms.
 * With a scheme that is not this connection's own, its authority is checked but
 * Host decides, as Apache does.
 */
function fromTarget(head: RequestHead): Authority | undefined {
  const { url } = head
  if (url.charCodeAt(0) === SLASH || url === '*') return undefined
  const start = authorityStart(url)
  if (start === -1 || head.httpVersionMajor > 1) {
    throw new TenantryError('ERR_HOST_INVALID', `the request target ${quoted(url)} is neither a path nor a URL`)
  }
  const authority = parsed(url.slice(start, authorityEnd(url, start)), 'host in the request target')
  const scheme = url.slice(0, start - 3).toLowerCase()
  return scheme === (head.encrypted === true ? 'https' : 'http') ? authority : undefined
}

/** The last host that was read: requests of one client name the same one again and again. */
let last: { readonly text: string; readonly authority: Authority } | undefined

function parsed(text: string, what: string): Authority {
  if (last?.text === text) return last.authority
  const authority = parseAuthority(text)
  if (authority === undefined) {
    throw new TenantryError('ERR_HOST_INVALID', `the ${what} ${quoted(text)} is not a valid host`)
  }
  last = { text, authority }
  return authority
}

/** The value of the one Host header, undefined where there is none; throws where there are more. */
function onlyHost(rawHeaders: readonly string[]): string | undefined {
  let value: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length !== 4 || (name !== 'Host' && name !== 'host' && name.toLowerCase() !== 'host')) continue
    // RFC 9112 3.2: whoever reads the other one would route elsewhere, so even two equal ones are refused.
    if (value !== undefined) throw new TenantryError('ERR_HOST_INVALID', 'the request has more than one Host header')
    value = rawHeaders[index + 1] ?? ''
  }
  return value
}

/**
 * The path of a request target, as it is written, for the choice of a mount:
 * without query and fragment, neither decoded nor normalised, so that a mount
 * matches what its application sees. `*` and a URL without a path are the root.
 * `//host/x` is a path. Total: what is no target at all is the root too.
 */
export function targetPath(url: string): string {
  let start = 0
  if (url.charCodeAt(0) !== SLASH) {
    const authority = authorityStart(url)
    if (authority === -1) return '/'
    start = authorityEnd(url, authority)
    if (url.charCodeAt(start) !== SLASH) return '/'
  }
  let end = start
  while (end < url.length && !isQueryOrFragment(url.charCodeAt(end))) end++
  return start === 0 && end === url.length ? url : url.slice(start, end)
}

/** Where the authority of `scheme://authority…` starts, or -1 for what has no such form. */
function authorityStart(url: string): number {
  const limit = Math.min(url.length, MAX_SCHEME)
  let index = 0
  while (index < limit && isSchemeCharacter(url.charCodeAt(index))) index++
  return index > 0 && url.startsWith('://', index) ? index + 3 : -1
}

function authorityEnd(url: string, start: number): number {
  let end = start
  while (end < url.length && url.charCodeAt(end) !== SLASH && !isQueryOrFragment(url.charCodeAt(end))) end++
  return end
}

function isQueryOrFragment(code: number): boolean {
  return code === 63 || code === 35
}

function isSchemeCharacter(code: number): boolean {
  const lower = code | 32
  return (lower >= 97 && lower <= 122) || (code >= 48 && code <= 57) || code === 43 || code === 45 || code === 46
}
