import { parseAuthority } from '../label/host.ts'

/** The head of the first request of a connection, as it stands. */
export interface FirstHead {
  readonly method: string
  /** In origin form. */
  readonly url: string
  /** Name, value, name, value …, as node:http has them. */
  readonly rawHeaders: readonly string[]
  /** The value of the only Host field. */
  readonly host: string
}

/** Half of what node:http takes: a longer head is nothing ordinary, and the bound of what is looked at. */
const MAX_HEAD = 8192
const MAX_FIELDS = 100

const HEAD_END = Buffer.from('\r\n\r\n')

/** Not CONNECT, whose target has another form; others are rare enough for the relay. */
const REQUEST_LINE = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\/[!-~]*) HTTP\/1\.1$/

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** What no field value has, RFC 9110 §5.5; a lone CR or LF among them. */
const NO_VALUE = /[^\t\x20-\x7e\x80-\xff]/

/**
 * Reads the first bytes of a connection: strict, total, bounded, in linear time.
 * Undefined unless they hold one complete and entirely ordinary HTTP/1.1 head, of
 * which node:http's own parser says the same; whatever follows the head is free.
 */
export function readFirstBytes(bytes: Buffer): FirstHead | undefined {
  const end = bytes.subarray(0, MAX_HEAD).indexOf(HEAD_END)
  return end === -1 ? undefined : readLines(bytes, end)
}

/**
 * The same of a head whose end has not come yet, as far as its complete lines say; undefined also while there is no Host
 * among them. What still comes may make another request of it, or none.
 */
export function readBegunHead(bytes: Buffer): FirstHead | undefined {
  if (bytes.includes(HEAD_END)) return undefined
  const end = bytes.subarray(0, MAX_HEAD).lastIndexOf('\r\n')
  return end === -1 ? undefined : readLines(bytes, end)
}

/** The lines of a head up to `end`, each of them ordinary. */
function readLines(bytes: Buffer, end: number): FirstHead | undefined {
  const lines = bytes.toString('latin1', 0, end).split('\r\n', MAX_FIELDS + 2)
  if (lines.length > MAX_FIELDS + 1) return undefined
  const [, method, url] = REQUEST_LINE.exec(lines[0] as string) ?? []
  if (method === undefined || url === undefined) return undefined
  const rawHeaders: string[] = []
  let host: string | undefined
  let hasBody = false
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at] as string
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    // A line that starts with a blank, once a field's second one (RFC 9112 §5.2), has no token before its colon.
    if (!TOKEN.test(name) || NO_VALUE.test(line)) return undefined
    const value = withoutBlanks(line, colon + 1)
    rawHeaders.push(name, value)
    const lower = name.toLowerCase()
    if (lower === 'host') {
      if (host !== undefined) return undefined
      host = value
    } else if (lower === 'content-length' || lower === 'transfer-encoding') {
      // Two that say where the body ends are how requests are smuggled (RFC 9112 §6.3).
      if (hasBody || !(lower === 'content-length' ? /^\d{1,15}$/.test(value) : value === 'chunked')) return undefined
      hasBody = true
    }
  }
  if (host === undefined || parseAuthority(host) === undefined) return undefined
  return { method, url, rawHeaders, host }
}

/** The rest of a line without blanks and tabs around it; `trim` would take NBSP too. */
function withoutBlanks(line: string, from: number): string {
  let start = from
  let end = line.length
  while (start < end && isBlank(line.charCodeAt(start))) start++
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--
  return line.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}
