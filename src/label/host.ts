import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'
import { TenantryError } from '../errors.ts'
import { quoted } from './quoted.ts'

/** A host and the port beside it, in canonical form. */
export interface Authority {
  /** Lower case, no trailing dot; IPv6 in brackets, in the form of RFC 5952. */
  readonly host: string
  /** 1 to 65535, or undefined where none was written. */
  readonly port: number | undefined
}

/** The rule for hosts that no other rule names, where it is written. */
export const DEFAULT_PATTERN = '_default'
/** Any host at all. */
export const ANY_PATTERN = '*'

/** RFC 1035: what DNS can carry. */
const MAX_NAME = 253
const MAX_NAME_LABEL = 63

/** A name, its trailing dot, a colon and five digits. */
const MAX_AUTHORITY = MAX_NAME + 1 + 6
/** `[`, eight groups of which the last two are an IPv4 address, `]`. */
const MAX_IPV6 = 47

const DOT = 46
const COLON = 58
const OPEN_BRACKET = 91

/**
 * Reads `host[:port]` as it stands in a Host header, an absolute-form target or
 * an `:authority`: strict, total, bounded, one pass, and for a canonical name
 * without any new text. Undefined for everything else; it never throws.
 *
 * Not `new URL()`: that hides `user@host`, `0x7f.1` and the like (RFC 9110 7.2
 * wants 400). Letters, digits, `-` and `_` make a label, as in Apache's strict
 * mode, and the last one starts with a letter (RFC 1123 2.1), so that a name
 * never looks like a number, `_default` or a wildcard.
 */
export function parseAuthority(text: string): Authority | undefined {
  const length = text.length
  if (length === 0 || length > MAX_AUTHORITY) return undefined
  if (text.charCodeAt(0) === OPEN_BRACKET) return parseBracketed(text)

  let upper = false
  let previous = -1 // where the label before the current one starts
  let start = 0 // where the current label starts
  let index = 0
  for (; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code >= 97 && code <= 122) continue
    if (code === DOT) {
      if (index === start || index - start > MAX_NAME_LABEL) return undefined
      previous = start
      start = index + 1
    } else if (code >= 65 && code <= 90) {
      upper = true
    } else if (code === COLON) {
      break
    } else if (!(isDigit(code) || code === 45 || code === 95)) {
      return undefined
    }
  }

  let end = index
  if (start === end) {
    // Nothing at all, or one trailing dot: the root's, which names the same host.
    if (previous === -1) return undefined
    end--
    start = previous
  } else if (end - start > MAX_NAME_LABEL) {
    return undefined
  }
  if (end > MAX_NAME) return undefined

  let port: number | undefined
  if (index < length) {
    port = parsePort(text, index + 1)
    if (port === undefined) return undefined
  }
  const cut = end === length ? text : text.slice(0, end)
  const host = upper ? cut.toLowerCase() : cut
  if (!endsAsName(host, start) && !isIPv4(host)) return undefined
  return { host, port }
}

/** Whether the last label, which starts at `start`, is that of a name and not of a number. */
function endsAsName(host: string, start: number): boolean {
  const first = host.charCodeAt(start)
  if (first >= 97 && first <= 122) return true
  // A machine's own name may start with a digit (`3d-printer`), but not be one of inet_aton's numbers.
  return start === 0 && isDigit(first) && !host.startsWith('0x') && hasLetter(host)
}

function hasLetter(host: string): boolean {
  for (let index = 0; index < host.length; index++) {
    if (host.charCodeAt(index) >= 97) return true
  }
  return false
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** The digits from `start` to the end: 1 to 65535, no sign, no leading zero. */
function parsePort(text: string, start: number): number | undefined {
  const digits = text.length - start
  if (digits === 0 || digits > 5 || text.charCodeAt(start) === 48) return undefined
  let port = 0
  for (let index = start; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (!isDigit(code)) return undefined
    port = port * 10 + (code - 48)
  }
  return port <= 65535 ? port : undefined
}

/** `[IPv6]` or `[IPv6]:port`; no zone, no IPvFuture. */
function parseBracketed(text: string): Authority | undefined {
  const close = text.indexOf(']')
  if (close === -1 || close >= MAX_IPV6) return undefined
  for (let index = 1; index < close; index++) {
    const code = text.charCodeAt(index)
    const lower = code | 32
    const hexadecimal = isDigit(code) || (lower >= 97 && lower <= 102)
    if (!hexadecimal && code !== COLON && code !== DOT) return undefined
  }
  let port: number | undefined
  if (close + 1 < text.length) {
    if (text.charCodeAt(close + 1) !== COLON) return undefined
    port = parsePort(text, close + 2)
    if (port === undefined) return undefined
  }
  // With hexadecimal digits, colons and dots only, the URL standard's reader hides nothing
  // and writes RFC 5952; it answers '' for what is no address.
  const host = domainToASCII(text.slice(0, close + 1))
  return host === '' ? undefined : { host, port }
}

/**
 * A host name of the configuration in canonical form; an international name
 * becomes its `xn--` form. Throws ERR_OPTION_INVALID, saying what is wrong.
 */
export function canonicalHost(text: string): string {
  const ascii = toAscii(text)
  const authority = ascii === undefined ? undefined : parseAuthority(ascii)
  if (authority === undefined || authority.port !== undefined) {
    throw new TenantryError('ERR_OPTION_INVALID', `the host ${quoted(text)} ${complaint(text, ascii)}`)
  }
  return authority.host
}

/**
 * A rule of an allow list or a tenant source in canonical form: a host,
 * `*.domain` for every host below it, `_default`, or `*`.
 * Throws ERR_OPTION_INVALID, saying what is wrong.
 */
export function canonicalPattern(text: string): string {
  if (text === DEFAULT_PATTERN || text === ANY_PATTERN) return text
  if (!text.startsWith('*.')) return canonicalHost(text)
  let domain: string
  try {
    domain = canonicalHost(text.slice(2))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new TenantryError('ERR_OPTION_INVALID', `the wildcard ${quoted(text)} is wrong: ${why}`, { cause: error })
  }
  if (isAddress(domain)) {
    throw new TenantryError('ERR_OPTION_INVALID', `the wildcard ${quoted(text)} is wrong: nothing is below an address`)
  }
  return `*.${domain}`
}

/** The text with an international name in `xn--` form, or undefined where it cannot have one. */
function toAscii(text: string): string | undefined {
  if (/^[\0-\x7f]*$/.test(text)) return text
  // domainToASCII stops in silence at '/', '?' and '#': let no such character through.
  if (text.length > MAX_NAME || /[^a-z0-9_.\-\x80-\uffff]/i.test(text)) return undefined
  const ascii = domainToASCII(text)
  return ascii === '' ? undefined : ascii
}

/** What is wrong with the text, for a person who has to repair it; the likeliest mistake first. */
function complaint(text: string, ascii: string | undefined): string {
  if (text === '') return 'is empty'
  if (text.includes('://')) return 'is a URL: write the host alone'
  if (/[/?#\\]/.test(text)) return 'has a path: write the host alone'
  if (text.includes('@')) return 'has a user name: write the host alone'
  if (/\s/.test(text)) return 'has a space in it'
  if (text.includes('*')) return 'has a * in it: only "*.domain" and "*" are wildcards'
  if (text.startsWith('.')) return `starts with a dot: for every host below it write ${quoted(`*${text}`)}`
  if (text.startsWith('[')) return 'is not an IPv6 address in brackets, without a zone and without a port'
  if (text.indexOf(':') !== text.lastIndexOf(':')) return 'looks like an IPv6 address: write it in brackets'
  if (text.includes(':')) return 'has a port: write the host alone'
  if (ascii === undefined) return 'is not a name that DNS can carry'
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii
  const labels = name.split('.')
  const strange = /[^a-z0-9_.-]/i.exec(ascii)
  if (strange !== null) return `has a character that no host has: ${quoted(strange[0])}`
  if (name.length > MAX_NAME) return `is longer than ${MAX_NAME} characters`
  if (labels.includes('')) return 'has two dots in a row'
  if (labels.some((label) => label.length > MAX_NAME_LABEL)) {
    return `has a part of more than ${MAX_NAME_LABEL} characters`
  }
  return 'is neither an IPv4 address nor a name whose last part starts with a letter'
}

/** Whether a canonical host is an address and not a name. */
function isAddress(host: string): boolean {
  return host.charCodeAt(0) === OPEN_BRACKET || isIPv4(host)
}
