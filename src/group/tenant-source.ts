import { statSync } from 'node:fs'
import path from 'node:path'
import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { TenantryError } from '../errors.ts'
import { canonicalPattern } from '../label/host.ts'
import { showValue } from '../units.ts'
import { AskedDirectory } from './asked-directory.ts'
import type { TenantFunction } from './asked-directory.ts'
import { readFolder } from './folder.ts'
import { isFile } from './folder-entry.ts'
import { ListedDirectory } from './listed-directory.ts'
import type { Listing } from './listed-directory.ts'
import { resolveTenant } from './resolve-tenant.ts'
import type { TenantDefaults } from './resolve-tenant.ts'
import type { ResolvedTenant, Tenant, TenantDirectory, TenantProblem } from './tenant.ts'

export type { TenantFunction }

/**
 * Where tenants come from: a folder of folders, a Map or object of host pattern to tenant or entry,
 * or a function of the host.
 */
export type TenantSource =
  | string
  | ReadonlyMap<string, Tenant | string>
  | Readonly<Record<string, Tenant | string>>
  | TenantFunction

/**
 * Opens a source of tenants. A folder's broken tenants are problems; a wrong setting in a Map or object is the
 * programmer's and throws.
 * @throws TenantryError ERR_OPTION_INVALID, ERR_CONFIG
 */
export function openSource(
  source: TenantSource, defaults: TenantDefaults, clock: Clock = systemClock,
): TenantDirectory {
  if (typeof source === 'function') return new AskedDirectory(source, defaults, clock)
  if (typeof source === 'string') {
    const folder = path.resolve(source)
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new TenantryError('ERR_CONFIG', `tenants is ${showValue(source)}, and '${folder}' is no folder`)
    }
    return new ListedDirectory(() => readFolder(folder, defaults))
  }
  return new ListedDirectory(() => readEntries(source instanceof Map ? source : Object.entries(source), defaults))
}

function readEntries(entries: Iterable<readonly [string, Tenant | string]>, defaults: TenantDefaults): Listing {
  const tenants = new Map<string, ResolvedTenant>()
  const problems: TenantProblem[] = []
  const names = new Set<string>()
  for (const [name, given] of entries) {
    const pattern = readPattern(name)
    if (names.has(pattern)) throw new TenantryError('ERR_OPTION_INVALID', `tenants names '${pattern}' twice`)
    names.add(pattern)
    const tenant = resolveTenant(given, { pattern, base: process.cwd() }, defaults)
    const missing = tenant.mounts.find(({ entry }) => !isFile(entry))
    if (missing === undefined) tenants.set(pattern, tenant)
    else problems.push({ pattern, message: `the entry '${missing.entry}' does not exist` })
  }
  return { tenants, problems }
}

function readPattern(name: unknown): string {
  if (typeof name !== 'string') {
    throw new TenantryError('ERR_OPTION_INVALID', `tenants has the key ${showValue(name)}; write a host`)
  }
  try {
    return canonicalPattern(name)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TenantryError('ERR_OPTION_INVALID', `tenants: ${why}`, { cause })
  }
}
