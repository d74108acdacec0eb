import { systemClock } from './clock.ts'
import { TENANT_LIMITS } from './group/resolve-tenant.ts'
import { openSource, openSourceLater } from './group/tenant-source.ts'
import { Hooks } from './http/hooks.ts'
import { Resolver } from './http/resolve.ts'
import { createAllowList } from './label/allow.ts'
import { createLabel } from './label/expand.ts'
import { checkOption } from './options.ts'
import type { TenantDefaults } from './group/resolve-tenant.ts'
import type { TenantDirectory } from './group/tenant.ts'
import type { LabelSettings } from './label/request-facts.ts'
import type { OptionName, ResolvedOptions } from './options.ts'

/** The tenants of the options: the same for a runtime, for `check` and for `explain`. */
export function openDirectory(options: ResolvedOptions): TenantDirectory {
  return openSource(options.tenants, defaultsOf(options))
}

/** The same, empty until it is refreshed: for who serves meanwhile. */
export function openDirectoryLater(options: ResolvedOptions): TenantDirectory {
  return openSourceLater(options.tenants, defaultsOf(options))
}

function defaultsOf(options: ResolvedOptions): TenantDefaults {
  const settings: LabelSettings = { ...options, environment: process.env }
  return { ...options, createLabel: (spec) => createLabel(spec, settings), checkLimit: checkOption }
}

/**
 * What takes effect when the settings are read again: what tenants fall back to, and what resolves a request. The
 * rest (caps, daemons, the log, deadlines of connections) is built into a runtime.
 */
export const LIVE_OPTIONS: ReadonlySet<string> = new Set<OptionName>([
  ...TENANT_LIMITS, 'tenants', 'applicationGroup', 'allowedHosts', 'serverName', 'labelPort',
  'trustProxy', 'requestVariables', 'dispatch', 'access',
])

/** The options in effect, with what may change taken from the new ones. */
export function changeLive(before: ResolvedOptions, after: ResolvedOptions): ResolvedOptions {
  const changed = Object.entries(after).filter(([name]) => LIVE_OPTIONS.has(name))
  return Object.freeze({ ...before, ...Object.fromEntries(changed) })
}

/** From a request's facts to its group, by what the directory holds now. */
export function openResolver(directory: TenantDirectory, options: ResolvedOptions): Resolver {
  const { allowedHosts, serverName } = options
  return new Resolver({
    directory,
    allowList: allowedHosts === undefined ? (directory.rules() ?? createAllowList([])) : createAllowList(allowedHosts),
    processGroups: new Set(Object.keys(options.processGroups)),
    serverName,
    hooks: openHooks(options),
  })
}

function openHooks({ dispatch, access, queueTimeout }: ResolvedOptions): Hooks | undefined {
  const isUsed = dispatch !== undefined || access !== undefined
  return isUsed ? new Hooks({ dispatch, access, queueTimeout, clock: systemClock }) : undefined
}
