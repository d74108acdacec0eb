import { systemClock } from './clock.ts'
import { openSource } from './group/tenant-source.ts'
import { Hooks } from './http/hooks.ts'
import { Resolver } from './http/resolve.ts'
import { createAllowList } from './label/allow.ts'
import { createLabel } from './label/expand.ts'
import { checkOption } from './options.ts'
import type { TenantDirectory } from './group/tenant.ts'
import type { LabelSettings } from './label/request-facts.ts'
import type { ResolvedOptions } from './options.ts'

/** The tenants of the options: the same for a runtime, for `check` and for `explain`. */
export function openDirectory(options: ResolvedOptions): TenantDirectory {
  const settings: LabelSettings = { ...options, environment: process.env }
  return openSource(options.tenants, {
    ...options,
    createLabel: (spec) => createLabel(spec, settings),
    checkLimit: checkOption,
  })
}

/** From a request's facts to its group, by what the directory holds now. */
export function openResolver(directory: TenantDirectory, options: ResolvedOptions): Resolver {
  const { allowedHosts, serverName } = options
  return new Resolver({
    directory,
    allowList: createAllowList(allowedHosts ?? directory.patterns() ?? []),
    serverName,
    hooks: openHooks(options),
  })
}

function openHooks({ dispatch, access, queueTimeout }: ResolvedOptions): Hooks | undefined {
  const isUsed = dispatch !== undefined || access !== undefined
  return isUsed ? new Hooks({ dispatch, access, queueTimeout, clock: systemClock }) : undefined
}
