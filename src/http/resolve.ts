import { TenantryError } from '../errors.ts'
import { cutText } from '../events.ts'
import { givenName } from '../label/expand.ts'
import { targetPath } from '../label/head.ts'
import { parseAuthority } from '../label/host.ts'
import { quoted } from '../label/quoted.ts'
import { viewOf } from './hooks.ts'
import type { GroupTarget } from '../group/lease.ts'
import type { FoundTenant, ResolvedTenant, TenantDirectory } from '../group/tenant.ts'
import type { AllowList } from '../label/allow.ts'
import type { GroupName, LabelKind, RequestFacts } from '../label/request-facts.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { Dispatch, Hooks } from './hooks.ts'

/** Where a request goes: its group, and which of the group's mounts. */
export interface Route {
  readonly target: GroupTarget
  /** Index into `target.mounts`. */
  readonly mount: number
}

export interface ResolverSettings {
  readonly directory: TenantDirectory
  readonly allowList: AllowList
  /** The names that are declared. */
  readonly processGroups: ReadonlySet<string>
  /** The host that HTTP/1.0 requests without one are for. */
  readonly serverName: string
  /** Undefined where the operator has none. */
  readonly hooks: Hooks | undefined
}

/** A route with all that it depends on, where its labels look at nothing else. */
interface LastRoute {
  readonly host: string | undefined
  readonly hostPort: number | undefined
  readonly acceptingPort: number
  /** Of the tenant's own mounts. */
  readonly mount: number
  readonly route: Route
}

/** Labels whose name follows from host, ports and mount alone. */
const BY_HOST: ReadonlySet<LabelKind> = new Set(['global', 'literal', 'server', 'host', 'resource'])

/**
 * From checked facts to a group, without allocating anything that lives:
 * allowed? tenant known? mount, label, process group. Throws the refusals of
 * each step: 421, 404, 500.
 */
export class Resolver {
  readonly #settings: ResolverSettings
  readonly #ownHost: string
  /** The last route of each rule: mostly it has one host, and then neither a name nor a target is made again. */
  readonly #last = new WeakMap<FoundTenant, LastRoute>()

  constructor(settings: ResolverSettings) {
    this.#settings = settings
    this.#ownHost = parseAuthority(settings.serverName)?.host ?? 'localhost'
  }

  /** The host that the request counts as asking for. */
  hostOf(facts: RequestFacts): string {
    return facts.host ?? this.#ownHost
  }

  /** The rule that allows a host, if one does. */
  ruleOf(host: string): string | undefined {
    return this.#settings.allowList.match(host)
  }

  /** The tenant of a host, if that is allowed; throws or rejects as the tenant source does. */
  tenantOf(host: string): FoundTenant | undefined | Promise<FoundTenant | undefined> {
    return this.ruleOf(host) === undefined ? undefined : this.#settings.directory.find(host)
  }

  /** Answers at once unless the tenant source or a hook has to be asked. */
  resolve(facts: RequestFacts, client: ClientFacts): Route | Promise<Route> {
    const host = this.hostOf(facts)
    if (this.ruleOf(host) === undefined) {
      throw new TenantryError('ERR_HOST_NOT_ALLOWED', `The host '${cutText(host)}' is not allowed; see allowedHosts`)
    }
    const { hooks } = this.#settings
    if (hooks !== undefined) return this.#resolveWith(hooks, facts, host, client)
    const found = this.#settings.directory.find(host)
    return found instanceof Promise ? found.then((later) => this.#route(facts, host, later)) : this.#route(facts, host, found)
  }

  /** Dispatch comes first, since it may name the tenant; access last, so that a host that is not ours stays that. */
  async #resolveWith(hooks: Hooks, facts: RequestFacts, host: string, client: ClientFacts): Promise<Route> {
    const view = viewOf(facts, host, client)
    const chosen = await hooks.dispatch(view)
    const name = chosen?.tenant === undefined ? host : tenantHost(chosen.tenant)
    // Labels see the host whose tenant it is: no other tenant's group may have the name of this one's host.
    const asked = name === host ? facts : { ...facts, host: name }
    const route = this.#route(asked, name, await this.#settings.directory.find(name), chosen)
    await hooks.admit(view)
    return route
  }

  /** The same group with the tenant as it is now. */
  retarget(old: GroupTarget, tenant: ResolvedTenant): GroupTarget {
    const paths = new Set(old.mounts.map(({ path }) => path))
    const mounts = old.key.startsWith('resource:') ? tenant.mounts.filter(({ path }) => paths.has(path)) : tenant.mounts
    return { ...old, tenant, mounts }
  }

  #route(facts: RequestFacts, host: string, found: FoundTenant | undefined, chosen?: Dispatch): Route {
    if (found === undefined) throw notFound(`No tenant serves the host '${cutText(host)}'`)
    const { tenant, pattern } = found
    const mount = matchMount(tenant, facts.url)
    if (mount === -1) throw notFound(`No mount of the tenant for '${cutText(host)}' fits the request's path`)
    if (chosen === undefined) {
      const last = this.#last.get(found)
      if (last !== undefined && last.mount === mount && isFor(last, facts)) return last.route
    }
    const path = (tenant.mounts[mount] as { path: string }).path
    const group = chosen?.applicationGroup === undefined
      ? tenant.applicationGroup(facts, path)
      : givenName(chosen.applicationGroup, "the dispatch hook's applicationGroup")
    const processGroup = chosen?.processGroup === undefined
      ? tenant.processGroup(facts, path).shown
      : givenName(chosen.processGroup, "the dispatch hook's processGroup").shown
    if (processGroup !== '' && !this.#settings.processGroups.has(processGroup)) {
      const message = `The process group '${cutText(processGroup)}' is not declared; see processGroups`
      throw new TenantryError('ERR_PROCESS_GROUP_MISSING', message, { label: group.shown })
    }
    const perMount = tenant.applicationGroup.perMount && chosen?.applicationGroup === undefined
    const route: Route = {
      mount: perMount ? 0 : mount,
      target: {
        key: keyOf(group, tenant),
        label: group.shown,
        processGroup,
        pattern,
        host,
        exact: pattern === host,
        tenant,
        mounts: perMount ? [tenant.mounts[mount] as { path: string; entry: string }] : tenant.mounts,
      },
    }
    if (chosen === undefined && isLabelledByHost(tenant)) {
      const { hostPort, acceptingPort } = facts
      this.#last.set(found, { host: facts.host, hostPort, acceptingPort, mount, route })
    }
    return route
  }
}

function isLabelledByHost({ applicationGroup, processGroup }: ResolvedTenant): boolean {
  return BY_HOST.has(applicationGroup.kind) && BY_HOST.has(processGroup.kind)
}

/** Whether all requests for the same host on the same port go to the group of this one, whatever else they say. */
export function isByHost({ target: { tenant } }: Route): boolean {
  const isPerMount = tenant.applicationGroup.perMount || tenant.processGroup.perMount
  return isLabelledByHost(tenant) && (tenant.mounts.length === 1 || !isPerMount)
}

function isFor(last: LastRoute, { host, hostPort, acceptingPort }: RequestFacts): boolean {
  return last.host === host && last.hostPort === hostPort && last.acceptingPort === acceptingPort
}

/** A host's name belongs to one tenant; any other name may be given to several, and a group serves only one. */
function keyOf({ key }: GroupName, { identity }: ResolvedTenant): string {
  return isHostKey(key) ? key : `${key} ${identity}`
}

/** A key starts with the kind of what named it. */
function isHostKey(key: string): boolean {
  return key.startsWith('host:')
}

/** Whether a group can go on with its tenant as it is now, under the same key. */
export function keepsKey({ key, tenant }: GroupTarget, after: ResolvedTenant): boolean {
  if (tenant.applicationGroup.kind !== after.applicationGroup.kind) return false
  return isHostKey(key) || tenant.identity === after.identity
}

/** The index of the longest mount that the path lies in, or -1. */
function matchMount(tenant: ResolvedTenant, url: string): number {
  const { mounts } = tenant
  // The common case, one application at the root, needs no look at the path.
  if (mounts.length === 1 && mounts[0]?.path === '') return 0
  const path = targetPath(url)
  return mounts.findIndex((mount) => path.startsWith(mount.path) && isBoundary(path, mount.path.length))
}

function isBoundary(path: string, at: number): boolean {
  return at === 0 || at === path.length || path.charCodeAt(at) === 47
}

/** The host that a dispatch hook names. */
function tenantHost(text: unknown): string {
  const host = typeof text === 'string' ? parseAuthority(text)?.host : undefined
  if (host !== undefined) return host
  const got = typeof text === 'string' ? quoted(text) : `a ${typeof text}`
  throw new TenantryError('ERR_HOOK_FAILED', `The dispatch hook gave ${got} as tenant, which is no host`)
}

function notFound(message: string): TenantryError {
  return new TenantryError('ERR_TENANT_NOT_FOUND', message)
}
