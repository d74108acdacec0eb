import { domainToASCII } from 'node:url'
import { describeCertificate } from './describe.ts'
import { asTenantryError, TenantryError } from './errors.ts'
import { openDescriptors } from './context/descriptors.ts'
import { readFirstBytes } from './http/first-bytes.ts'
import { clientOf, factsOf } from './http/head-facts.ts'
import { isProxy, obstacleIn, reasonOf, RELAY_REASONS } from './http/lane-choice.ts'
import { createAllowList } from './label/allow.ts'
import { parseAuthority } from './label/host.ts'
import { createTrust } from './label/trust.ts'
import { logsRequests } from './ops/logger.ts'
import { openDirectory, openResolver } from './resolving.ts'
import { showValue } from './units.ts'
import type { TenantDescription } from './describe.ts'
import type { FoundTenant, TenantDirectory, TenantProblem } from './group/tenant.ts'
import type { Dispatch } from './http/hooks.ts'
import type { RelayReason } from './http/lane-choice.ts'
import type { RequestSource } from './http/passage.ts'
import type { Route } from './http/resolve.ts'
import type { LabelKind } from './label/request-facts.ts'
import type { ResolvedOptions } from './options.ts'

/** A request that nobody has sent yet. */
export interface AskedRequest {
  /** `http://host/path`, `https://host/path` or `host/path`; the host may have a port. */
  readonly url: string
  readonly method: string
  /** Name, value, name, value …, besides Host. */
  readonly rawHeaders: readonly string[]
  /** The IP address that it would come from. */
  readonly clientAddress: string
}

/** A name, and what made it: the label of the tenant or of the runtime, or the dispatch hook. */
export interface ExplainedName {
  readonly name: string
  readonly by: LabelKind | 'dispatch'
}

/** How a request would be resolved; null from the step on that refuses it. */
export interface Explanation {
  readonly request: { readonly method: string; readonly url: string; readonly clientAddress: string; readonly encrypted: boolean }
  /** Canonical. */
  readonly host: string | null
  /** The rule that allows the host, the most exact one. */
  readonly allowedBy: string | null
  /** What the dispatch hook answered, if it did. */
  readonly dispatch: Dispatch | null
  readonly tenant: (Pick<TenantDescription, 'pattern' | 'kind' | 'threads'> & { readonly directory: string }) | null
  readonly mount: { readonly path: string; readonly entry: string } | null
  readonly applicationGroup: (ExplainedName & { readonly key: string }) | null
  readonly processGroup: ExplainedName | null
  readonly limits: TenantDescription['limits'] | null
  /** The tenant's own, for servers that speak TLS. */
  readonly certificate: TenantDescription['certificate']
  /** Which lane a connection with this as its first request takes from a server of ours, and why it is not handed over. */
  readonly lane: { readonly name: 'handoff' | 'relay'; readonly why: string | null } | null
  /** A tenant for this host that was found, but cannot be served. */
  readonly problem: TenantProblem | null
  /** Why it would be refused. Caps are not looked at: they depend on what runs. */
  readonly refusal: { readonly status: number; readonly code: string; readonly message: string } | null
}

type Steps = { -readonly [K in keyof Explanation]: Explanation[K] }

/**
 * How a server with these options on `port` would resolve a request: by its own functions, hooks included. Starts nothing.
 * @throws TenantryError ERR_CONFIG for what is no URL, ERR_OPTION_INVALID
 */
export async function explainRequest(options: ResolvedOptions, port: number, asked: AskedRequest): Promise<Explanation> {
  const source = sourceOf(asked, port)
  const directory = openDirectory(options)
  const client = clientOf(source, createTrust(options.trustProxy))
  const { method, url } = source as { method: string; url: string }
  const steps: Steps = {
    request: { method, url, clientAddress: client.clientAddress, encrypted: client.encrypted },
    host: null,
    allowedBy: null,
    dispatch: null,
    tenant: null,
    mount: null,
    applicationGroup: null,
    processGroup: null,
    limits: null,
    certificate: null,
    lane: null,
    problem: null,
    refusal: null,
  }
  const resolver = openResolver(directory, { ...options, dispatch: noting(options.dispatch, steps) })
  try {
    const facts = factsOf(source, client)
    steps.host = resolver.hostOf(facts)
    steps.allowedBy = resolver.ruleOf(steps.host) ?? null
    steps.problem = problemOf(directory, steps.host)
    const route = await resolver.resolve(facts, client)
    explainRoute(steps, route)
    explainLane(steps, options, source, route)
    // By the name that the client asks for, whatever the hooks make of its request.
    const { tls } = (await resolver.tenantOf(steps.host))?.tenant ?? {}
    steps.certificate = (await describeCertificate(tls, steps.host)).certificate
  } catch (thrown) {
    const { status, code, message } = asTenantryError(thrown, 'ERR_START_FAILED', 'The request could not be served')
    steps.refusal = { status: status ?? 500, code, message }
    if (steps.allowedBy !== null) await explainRefused(steps, directory)
  }
  return steps
}

/** The same hook, its answer kept. */
function noting(dispatch: ResolvedOptions['dispatch'], steps: Steps): ResolvedOptions['dispatch'] {
  if (dispatch === undefined) return undefined
  return async (view, signal) => {
    const chosen = await dispatch(view, signal)
    steps.dispatch = chosen ?? null
    return chosen
  }
}

function explainRoute(steps: Steps, { target, mount }: Route): void {
  const { tenant, pattern, key, label, processGroup, mounts } = target
  const { dispatch } = steps
  explainTenant(steps, { tenant, pattern })
  steps.mount = mounts[mount] ?? null
  steps.applicationGroup = {
    name: label,
    key,
    by: dispatch?.applicationGroup === undefined ? tenant.applicationGroup.kind : 'dispatch',
  }
  steps.processGroup = {
    name: processGroup,
    by: dispatch?.processGroup === undefined ? tenant.processGroup.kind : 'dispatch',
  }
  steps.limits = { ...tenant.contextLimits, ...tenant.groupLimits }
}

/** In the order in which a server decides. Who offers HTTP/2, or listens to a program's events, is not known here. */
function explainLane(steps: Steps, options: ResolvedOptions, source: RequestSource, route: Route): void {
  const peer = { clientAddress: source.socket.remoteAddress ?? '', clientPort: undefined, encrypted: false }
  const reason = obstacleIn(options, options.lane === 'relay' || openDescriptors() !== undefined)
    ?? (logsRequests(options.logger) ? 'events' : undefined)
    ?? (isProxy(peer, createTrust(options.trustProxy)) ? 'proxy' : undefined)
    ?? (source.socket.encrypted === true ? reasonByHello(route) : reasonByHead(source, route))
  steps.lane = reason === undefined ? { name: 'handoff', why: null } : { name: 'relay', why: RELAY_REASONS[reason] }
}

/** Before the handshake only the host is known. */
function reasonByHello(route: Route): RelayReason | undefined {
  return route.target.tenant.tls === undefined ? 'certificate' : reasonOf(route, [])
}

function reasonByHead({ method, url, rawHeaders }: RequestSource, route: Route): RelayReason | undefined {
  const fields = Array.from({ length: rawHeaders.length / 2 }, (_, at) => `${rawHeaders[2 * at]}: ${rawHeaders[2 * at + 1]}\r\n`)
  const head = Buffer.from(`${method} ${url} HTTP/1.1\r\n${fields.join('')}\r\n`, 'latin1')
  return readFirstBytes(head) === undefined ? 'head' : reasonOf(route, rawHeaders)
}

function explainTenant(steps: Steps, { pattern, tenant }: FoundTenant): void {
  steps.tenant = { pattern, kind: tenant.kind, threads: tenant.threads, directory: tenant.directory }
}

/** As far as it came: whose tenant it would have been. */
async function explainRefused(steps: Steps, directory: TenantDirectory): Promise<void> {
  const named = steps.dispatch?.tenant
  try {
    const host = named === undefined ? steps.host : parseAuthority(named)?.host
    const found = await directory.find(host as string)
    if (found !== undefined) explainTenant(steps, found)
  } catch {
    // The refusal says it already.
  }
}

function problemOf(directory: TenantDirectory, host: string): TenantProblem | null {
  const isOf = ({ pattern }: TenantProblem): boolean => {
    try {
      return createAllowList([pattern]).match(host) !== undefined
    } catch {
      // A problem may be that the name itself is none.
      return false
    }
  }
  return directory.problems().find(isOf) ?? null
}

/** Not by `new URL()`, which would mend what a server refuses; but a name in its own script is what a browser sends. */
function sourceOf({ url, method, rawHeaders, clientAddress }: AskedRequest, port: number): RequestSource {
  const parts = /^(?:(https?):\/\/)?([^/?#\s]+)([^#\s]*)(?:#.*)?$/i.exec(url)
  if (parts === null || url.includes('://') !== (parts[1] !== undefined)) {
    throw new TenantryError('ERR_CONFIG', `${showValue(url)} is no URL; write http://host/path, https://host/path or host/path`)
  }
  const [, scheme = 'http', authority = '', target = ''] = parts
  const host = authority.replace(/^[^:[]*[^\0-\x7f][^:]*/, domainToASCII)
  return {
    method,
    url: target.startsWith('/') ? target : `/${target}`,
    rawHeaders: ['Host', host, ...rawHeaders],
    headers: { host },
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    socket: { remoteAddress: clientAddress, localPort: port, encrypted: scheme.toLowerCase() === 'https' },
  }
}
