import type { ResolvedOptions } from '../options.ts'
import { formatDuration, formatSize } from '../units.ts'

/** Tenants that are listed at start; `tenantry check` lists all. */
const MAX_LISTED = 12

/** The caps that keep the server alive, as the log and the start report show them. */
export interface Caps {
  readonly maxContexts: number
  readonly maxGroups: number
  readonly maxGroupsPerPattern: number
  readonly maxStarts: number
  readonly maxStarting: number
  readonly memoryLimit: number
  readonly maxConnections: number
}

export function capsOf(options: ResolvedOptions): Caps {
  const { maxContexts, maxGroups, maxGroupsPerPattern, maxStarts, maxStarting, memoryLimit, maxConnections } = options
  return { maxContexts, maxGroups, maxGroupsPerPattern, maxStarts, maxStarting, memoryLimit, maxConnections }
}

/** One line on the caps. */
export function describeCaps(caps: Caps): string {
  const memory = caps.memoryLimit === 0 ? 'no memory limit' : `${formatSize(caps.memoryLimit)} each`
  return (
    `${caps.maxContexts} contexts (${memory}), ${caps.maxGroups} groups (${caps.maxGroupsPerPattern} per wildcard), ` +
    `${caps.maxStarts} starts a minute (${caps.maxStarting} at once)`
  )
}

export interface StartFacts {
  readonly version: string
  readonly url: string
  /** undefined: a function names them. */
  readonly patterns: readonly string[] | undefined
  readonly problems: readonly { readonly pattern: string; readonly message: string }[]
  readonly options: ResolvedOptions
  /** Why no connection can be handed over; null where some can. */
  readonly obstacle: string | null
}

/** What a person wants to know at the start: where, who, within what, and what to try. */
export function startReport({ version, url, patterns, problems, options, obstacle }: StartFacts): string {
  const lines = ['', `  tenantry ${version} on ${url}`, '']
  if (patterns === undefined) {
    lines.push('  tenants   named by a function')
  } else {
    lines.push(
      `  tenants   ${patterns.length} found${patterns.length === 0 ? '' : ', each started by its first request:'}`,
      '',
    )
    for (const pattern of patterns.slice(0, MAX_LISTED)) lines.push(`    ${curlLine(pattern, url)}`)
    if (patterns.length > MAX_LISTED)
      lines.push(`    … and ${patterns.length - MAX_LISTED} more (tenantry check lists them)`)
    if (patterns.length > 0) lines.push('')
  }
  for (const { pattern, message } of problems.slice(0, MAX_LISTED)) lines.push(`  problem   ${pattern}: ${message}`)
  if (problems.length > MAX_LISTED) lines.push(`  problem   … and ${problems.length - MAX_LISTED} more`)
  lines.push(`  caps      ${describeCaps(capsOf(options))}`)
  for (const [name, { limits, maxContexts = options.maxContexts }] of Object.entries(options.processGroups)) {
    lines.push(`  daemons   ${limits.processes} of the process group '${name}', at most ${maxContexts} contexts each`)
  }
  lines.push(`  lane      ${describeLane(obstacle)}`)
  lines.push(`  idle      ${options.idleTimeout === 0 ? 'never ends' : `ends after ${formatDuration(options.idleTimeout)}`}`, '')
  return `${lines.join('\n')}\n`
}

/** One line on how requests come to their contexts. */
function describeLane(obstacle: string | null): string {
  return obstacle === null ? 'hand-off where a connection allows it, else relay' : `relay: ${obstacle}`
}

/** A line to copy into a shell: a host that the pattern matches, asked of this server. */
export function curlLine(pattern: string, url: string): string {
  const host = sampleHost(pattern)
  // RFC 6761 §6.3: such names are this machine's. A browser takes them, too, with no field to set.
  if (/^(.+\.)?localhost$/.test(host) && url.includes('//127.0.0.1:')) return `curl ${url.replace('127.0.0.1', host)}/`
  // Over TLS the name is asked for before there is a Host.
  const [, address, port] = /^https:\/\/(.*):(\d+)$/.exec(url) ?? []
  if (port !== undefined) return `curl --resolve '${host}:${port}:${address}' https://${host}:${port}/`
  return `curl -H 'Host: ${host}' ${url}/`
}

/** A host that the pattern matches. */
export function sampleHost(pattern: string): string {
  if (pattern.startsWith('*.')) return `any${pattern.slice(1)}`
  return pattern === '_default' || pattern === '*' ? 'any.example.test' : pattern
}

/** The URL of an address that a server listens on; IPv6 in brackets, and no wildcard address that nothing can ask. */
export function urlOf(address: string, port: number, isSecure: boolean): string {
  const host =
    address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '[::1]' : address.includes(':') ? `[${address}]` : address
  return `${isSecure ? 'https' : 'http'}://${host}:${port}`
}
