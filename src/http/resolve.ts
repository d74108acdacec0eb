import { TenantryError } from '../errors.ts'
import { cutText } from '../events.ts'
import { targetPath } from '../label/head.ts'
import { parseAuthority } from '../label/host.ts'
import type { GroupTarget } from '../group/lease.ts'
import type { FoundTenant, ResolvedTenant, TenantDirectory } from '../group/tenant.ts'
import type { AllowList } from '../label/allow.ts'
import type { GroupName, RequestFacts } from '../label/request-facts.ts'

/** Where a request goes: its group, and which of the group's mounts. */
export interface Route {
  readonly target: GroupTarget
  /** Index into `target.mounts`. */
  readonly mount: number
}

export interface ResolverSettings {
  readonly directory: TenantDirectory
  readonly allowList: AllowList
  /** The host that HTTP/1.0 requests without one are for. */
  readonly serverName: string
}

/**
 * From checked facts to a group, without allocating anything that lives:
 * allowed? tenant known? mount, label, process group. Throws the refusals of
 * each step: 421, 404, 500.
 */
export class Resolver {
  readonly #settings: ResolverSettings
  readonly #ownHost: string
  /** The last route of each tenant; it holds as long as its label gives the same name. */
  readonly #last = new WeakMap<ResolvedTenant, { readonly name: GroupName; readonly mount: number; readonly route: Route }>()

  constructor(settings: ResolverSettings) {
    this.#settings = settings
    this.#ownHost = parseAuthority(settings.serverName)?.host ?? 'localhost'
  }

  /** Answers at once unless the tenant source has to be asked. */
  resolve(facts: RequestFacts): Route | Promise<Route> {
    const host = facts.host ?? this.#ownHost
    if (this.#settings.allowList.match(host) === undefined) {
      throw new TenantryError('ERR_HOST_NOT_ALLOWED', `The host '${cutText(host)}' is not allowed; see allowedHosts`)
    }
    const found = this.#settings.directory.find(host)
    return found instanceof Promise ? found.then((later) => this.#route(facts, host, later)) : this.#route(facts, host, found)
  }

  /** The same group with the tenant as it is now. */
  retarget(old: GroupTarget, tenant: ResolvedTenant): GroupTarget {
    const paths = new Set(old.mounts.map(({ path }) => path))
    const mounts = old.tenant.applicationGroup.perMount ? tenant.mounts.filter(({ path }) => paths.has(path)) : tenant.mounts
    return { ...old, tenant, mounts }
  }

  #route(facts: RequestFacts, host: string, found: FoundTenant | undefined): Route {
    if (found === undefined) throw notFound(`No tenant serves the host '${cutText(host)}'`)
    const { tenant, pattern } = found
    const mount = matchMount(tenant, facts.url)
    if (mount === -1) throw notFound(`No mount of the tenant for '${cutText(host)}' fits the request's path`)
    const path = (tenant.mounts[mount] as { path: string }).path
    const group = tenant.applicationGroup(facts, path)
    const last = this.#last.get(tenant)
    if (last !== undefined && last.name === group && last.mount === mount && tenant.processGroup.kind === 'global') {
      return last.route
    }
    const processGroup = tenant.processGroup(facts, path).shown
    if (processGroup !== '') {
      const message = `The process group '${cutText(processGroup)}' is not declared; only '' (this process) is`
      throw new TenantryError('ERR_PROCESS_GROUP_MISSING', message, { label: group.shown })
    }
    const { perMount } = tenant.applicationGroup
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
    this.#last.set(tenant, { name: group, mount, route })
    return route
  }
}

/** A host's name belongs to one tenant; any other name may be given to several, and a group serves only one. */
function keyOf(group: GroupName, { applicationGroup, identity }: ResolvedTenant): string {
  return applicationGroup.kind === 'host' ? group.key : `${group.key} ${identity}`
}

/** Whether a group of the one tenant can go on as a group of the other, under the same key. */
export function keepsKey(before: ResolvedTenant, after: ResolvedTenant): boolean {
  if (before.applicationGroup.kind !== after.applicationGroup.kind) return false
  return before.applicationGroup.kind === 'host' || before.identity === after.identity
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

function notFound(message: string): TenantryError {
  return new TenantryError('ERR_TENANT_NOT_FOUND', message)
}
