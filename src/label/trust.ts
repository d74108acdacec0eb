import { isIP } from 'node:net'
import proxyAddr from '@fastify/proxy-addr'
import { TenantryError } from '../errors.ts'
import { parseAuthority } from './host.ts'
import { quoted } from './quoted.ts'
import type { RequestFacts } from './request-facts.ts'

/** Who asks: the socket's own facts, or what trusted proxies say in their place. */
export interface ClientFacts {
  /** The client's IP address; '' where the socket has none (a Unix socket, or one already closed). */
  readonly clientAddress: string
  /** The client's port; undefined where only its address is known. */
  readonly clientPort: number | undefined
  /** TLS between the client and the first trusted hop. */
  readonly encrypted: boolean
  /** Canonical host of X-Forwarded-Host, where a trusted proxy sent one. */
  readonly host?: string | undefined
  /** The port that the client asked for: X-Forwarded-Port, else the one in X-Forwarded-Host. */
  readonly port?: number | undefined
}

/** Off (false, 0, undefined), every peer (true), so many hops (a number), or addresses, ranges and their names. */
export type TrustOption = boolean | number | string | readonly string[] | undefined

/** Answers with `peer` itself where that is not trusted; a malformed forwarded host or port is ERR_HOST_INVALID. */
export type Trust = (peer: ClientFacts, rawHeaders: readonly string[]) => ClientFacts

type IsTrusted = (address: string, hop: number) => boolean

/**
 * Trusted proxies, as Express understands them: `true`, a number of hops, or IP
 * addresses, CIDR ranges and `loopback`, `linklocal`, `uniquelocal`, as a list
 * or with commas. Throws ERR_OPTION_INVALID. Default: nobody is trusted.
 */
export function createTrust(option: TrustOption): Trust {
  const isTrusted = compile(option)
  if (isTrusted === undefined) return (peer) => peer
  return (peer, rawHeaders) => isTrusted(peer.clientAddress, 0) ? forwarded(peer, rawHeaders, isTrusted) : peer
}

/** The facts with the host that trusted proxies were asked for; the same object where they said none. */
export function forwardedFacts(facts: RequestFacts, client: ClientFacts): RequestFacts {
  if (client.host === undefined && client.port === undefined) return facts
  return { ...facts, host: client.host ?? facts.host, hostPort: client.port }
}

function compile(option: TrustOption): IsTrusted | undefined {
  if (option === undefined || option === false || option === 0) return undefined
  if (option === true) return () => true
  if (typeof option === 'number') {
    if (!Number.isSafeInteger(option) || option < 0) throw wrong(String(option))
    return (_address, hop) => hop < option
  }
  const list = (typeof option === 'string' ? option.split(',') : option).map((text) => text.trim())
  if (list.length === 0) return undefined
  // proxy-addr reads '1' as the address 0.0.0.1: only what is plainly an address may reach it.
  for (const text of list) if (!isRange(text)) throw wrong(text)
  try {
    const trusted = proxyAddr.compile(list)
    return (address, hop) => isIP(address) !== 0 && trusted(address, hop)
  } catch (error) {
    throw wrong(list.join(', '), error)
  }
}

const RANGE_NAMES: readonly string[] = ['loopback', 'linklocal', 'uniquelocal']

function isRange(text: string): boolean {
  return RANGE_NAMES.includes(text) || isIP(text.split('/', 1)[0] ?? '') !== 0
}

function wrong(text: string, cause?: unknown): TenantryError {
  const message = `trustProxy: ${quoted(text)} is not true, false, a number of hops, an IP address, a CIDR range, `
    + '"loopback", "linklocal" or "uniquelocal"'
  return new TenantryError('ERR_OPTION_INVALID', message, { cause })
}

/** The X-Forwarded-* fields of one request, several of one name joined as HTTP joins them. */
interface Forwarded {
  for: string | undefined
  host: string | undefined
  port: string | undefined
  proto: string | undefined
}

function forwarded(peer: ClientFacts, rawHeaders: readonly string[], isTrusted: IsTrusted): ClientFacts {
  const fields = readForwarded(rawHeaders)
  const client = nearestUntrusted(peer, fields.for, isTrusted)
  const hostText = valueAt(fields.host, client.hops)
  const authority = hostText === undefined ? undefined : parseAuthority(hostText)
  if (hostText !== undefined && authority === undefined) throw malformed('X-Forwarded-Host', hostText)
  const portText = valueAt(fields.port, client.hops)
  const port = portText === undefined ? undefined : parseAuthority(`port:${portText}`)?.port
  if (portText !== undefined && port === undefined) throw malformed('X-Forwarded-Port', portText)
  return {
    clientAddress: client.address,
    clientPort: client.port,
    encrypted: isEncrypted(valueAt(fields.proto, client.hops)) ?? peer.encrypted,
    host: authority?.host,
    port: port ?? authority?.port,
  }
}

function malformed(name: string, text: string): TenantryError {
  return new TenantryError('ERR_HOST_INVALID', `${name} ${quoted(text)} is malformed`)
}

function readForwarded(rawHeaders: readonly string[]): Forwarded {
  const fields: Forwarded = { for: undefined, host: undefined, port: undefined, proto: undefined }
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length < 15 || name.length > 17) continue
    const field = fieldOf(name.toLowerCase())
    if (field === undefined) continue
    const value = rawHeaders[index + 1] ?? ''
    const before = fields[field]
    fields[field] = before === undefined ? value : `${before},${value}`
  }
  return fields
}

function fieldOf(name: string): keyof Forwarded | undefined {
  switch (name) {
    case 'x-forwarded-for': return 'for'
    case 'x-forwarded-host': return 'host'
    case 'x-forwarded-port': return 'port'
    case 'x-forwarded-proto': return 'proto'
    default: return undefined
  }
}

interface Client {
  readonly address: string
  readonly port: number | undefined
  /** How many trusted proxies stand between the client and us, at least one. */
  readonly hops: number
}

/**
 * Walks X-Forwarded-For from its end, each entry written by the trusted hop
 * after it, to the first address that is not trusted. An entry that is no
 * address ends the walk at the last one that is known.
 */
function nearestUntrusted(peer: ClientFacts, text: string | undefined, isTrusted: IsTrusted): Client {
  let client: Client = { address: peer.clientAddress, port: peer.clientPort, hops: 1 }
  if (text === undefined) return client
  const entries = text.split(',')
  for (let hop = 1; hop <= entries.length; hop++) {
    const found = parseAddress((entries[entries.length - hop] as string).trim())
    if (found === undefined) return { ...client, hops: hop }
    client = { ...found, hops: hop }
    if (!isTrusted(found.address, hop)) return client
  }
  return client
}

/** `192.0.2.1`, `2001:db8::1`, and both as some proxies write them, with a port. */
function parseAddress(text: string): { address: string; port: number | undefined } | undefined {
  if (isIP(text) !== 0) return { address: text, port: undefined }
  const authority = parseAuthority(text)
  if (authority === undefined) return undefined
  const { host, port } = authority
  const address = host.startsWith('[') ? host.slice(1, -1) : host
  return isIP(address) === 0 ? undefined : { address, port }
}

/**
 * The value that the outermost trusted proxy wrote: as far from the end as it
 * stands itself, since each proxy appends one. Where the proxies replace instead,
 * there are fewer values than hops and the first is the one. Blank is none.
 */
function valueAt(text: string | undefined, hops: number): string | undefined {
  if (text === undefined) return undefined
  if (!text.includes(',')) return text.trim() === '' ? undefined : text.trim()
  const values = text.split(',')
  return (values[Math.max(0, values.length - hops)] as string).trim()
}

/** Undefined for a scheme that we do not know: the socket's own fact stands. */
function isEncrypted(proto: string | undefined): boolean | undefined {
  const scheme = proto?.toLowerCase()
  if (scheme === 'https' || scheme === 'wss') return true
  return scheme === 'http' || scheme === 'ws' ? false : undefined
}
