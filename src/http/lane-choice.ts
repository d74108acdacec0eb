import { TenantryError } from '../errors.ts'
import { isByHost } from './resolve.ts'
import type { ClientFacts, Trust } from '../label/trust.ts'
import type { Route } from './resolve.ts'

/** Which lane connections may take: the front's choice, always the relay, or the hand-off wherever a connection allows it. */
export type LaneOption = 'auto' | 'relay' | 'handoff'

/** Why a connection stays in the front, and its requests take the relay: as stats and `explain` say it. */
export const RELAY_REASONS = {
  option: "lane is 'relay'",
  descriptors: 'handing a connection over takes 64-bit Linux, and koffi (an optional dependency) or Node 26',
  hooks: 'the dispatch and access hooks are asked for each request',
  events: 'somebody listens to the events of each request',
  hello: 'the first bytes are not one complete, ordinary ClientHello that names a server',
  http2: 'the client offers HTTP/2, which only the front speaks',
  certificate: "the tenant has no certificate of its own, and the server's own stays in the front",
  server: 'the server was changed after listen()',
  proxy: 'a proxy is at the other end, which may ask for other hosts on the same connection',
  misdirected: 'this peer has asked for another host on a connection that was handed over',
  head: 'the first bytes are not one complete, ordinary head of HTTP/1.1',
  label: 'the group depends on more than the host',
  refused: 'the first request was refused',
  context: 'its context could not take it',
} as const

export type RelayReason = keyof typeof RELAY_REASONS

/** The options that decide whether any connection at all can be handed over. */
export interface LaneOptions {
  readonly lane: LaneOption
  readonly dispatch: unknown
  readonly access: unknown
}

/** How many connections took which lane. */
export interface LaneStats {
  /** Handed over to a context. */
  readonly handoff: number
  /** Kept in the front, by why. */
  readonly relay: Readonly<Partial<Record<RelayReason, number>>>
  /** Why none can be handed over now, in words; null where some can. */
  readonly obstacle: string | null
}

/** Why no connection at all can be handed over; undefined where some can. */
export function obstacleIn({ lane, dispatch, access }: LaneOptions, hasDescriptors: boolean): RelayReason | undefined {
  if (lane === 'relay') return 'option'
  if (!hasDescriptors) return 'descriptors'
  return dispatch === undefined && access === undefined ? undefined : 'hooks'
}

/** @throws TenantryError ERR_OPTION_INVALID where the hand-off is demanded and cannot be; `obstacle`: of these options */
export function demandHandoff({ lane }: LaneOptions, obstacle: RelayReason | undefined): void {
  if (lane !== 'handoff' || obstacle === undefined) return
  throw new TenantryError('ERR_OPTION_INVALID', `lane is 'handoff', but ${RELAY_REASONS[obstacle]}; see docs/lanes.md`)
}

/** Whether somebody else speaks through this peer: a trusted proxy, or whoever connects to a Unix socket. */
export function isProxy({ clientAddress, clientPort, encrypted }: ClientFacts, trust: Trust): boolean {
  const peer: ClientFacts = { clientAddress, clientPort, encrypted }
  return clientAddress === '' || trust(peer, []) !== peer
}

/** RFC 7239, RFC 9110 §7.6.3, and what proxies sent before there were these. */
const OF_PROXIES: ReadonlySet<string> = new Set([
  'forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto', 'x-real-ip',
])

/** Whether the fields of a request say that a proxy sends it. */
export function isOfProxy(rawHeaders: readonly string[]): boolean {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (OF_PROXIES.has((rawHeaders[at] as string).toLowerCase())) return true
  }
  return false
}

/** Why the requests of a connection cannot all be served where its first one leads, as far as heads and labels say. */
export function reasonOf(route: Route, rawHeaders: readonly string[]): RelayReason | undefined {
  if (isOfProxy(rawHeaders)) return 'proxy'
  return isByHost(route) ? undefined : 'label'
}
