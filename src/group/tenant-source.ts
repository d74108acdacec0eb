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
import type { Steps } from './slices.ts'
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
 * Opens a source of tenants and reads it, without a pause. A folder's broken tenants are problems; a wrong setting in a
 * Map or object is the programmer's and throws.
 * @throws TenantryError ERR_OPTION_INVALID, ERR_CONFIG
 */
export function openSource(
  source: TenantSource, defaults: TenantDefaults, clock: Clock = systemClock,
): TenantDirectory {
  const directory = openSourceLater(source, defaults, clock)
  return directory instanceof ListedDirectory ? directory.load() : directory
}

/**
 * Opens a source of tenants; one that can be listed is empty until its first refresh, which rejects with what is wrong.
 * @throws TenantryError ERR_CONFIG when there is no such folder
 */
export function openSourceLater(
  source: TenantSource, defaults: TenantDefaults, clock: Clock = systemClock,
): TenantDirectory {
  if (typeof source === 'function') return new AskedDirectory(source, defaults, clock)
  if (typeof source === 'string') {
    const folder = path.resolve(source)
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new TenantryError('ERR_CONFIG', `tenants is ${showValue(source)}, and '${folder}' is no folder`)
    }
    return new ListedDirectory(() => readFolder(folder, defaults), clock)
  }
  return new ListedDirectory(() => readEntries(entriesOf(source), defaults), clock)
}

type Given = Tenant | string

/** As Object.entries for an object, without an array for each of a million hosts. */
function* entriesOf(source: Exclude<TenantSource, string | TenantFunction>): Generator<readonly [string, Given]> {
  if (source instanceof Map) {
    yield* source as ReadonlyMap<string, Given>
    return
  }
  const named = source as Readonly<Record<string, Given>>
  for (const name of Object.keys(source)) yield [name, named[name] as Given]
}

function* readEntries(entries: Iterable<readonly [string, Given]>, defaults: TenantDefaults): Steps<Listing> {
  const tenants = new Map<string, ResolvedTenant>()
  const problems = new Map<string, TenantProblem>()
  // Many hosts of one application are often given the same value: it is read once.
  const known = new Map<Given, ResolvedTenant>()
  const base = process.cwd()
  for (const [name, given] of entries) {
    const pattern = readPattern(name)
    if (tenants.has(pattern) || problems.has(pattern)) {
      throw new TenantryError('ERR_OPTION_INVALID', `tenants names '${pattern}' twice`)
    }
    const tenant = known.get(given) ?? resolveTenant(given, { pattern, base }, defaults)
    const missing = known.has(given) ? undefined : tenant.mounts.find(({ entry }) => !isFile(entry))
    if (missing === undefined) {
      tenants.set(pattern, tenant)
      known.set(given, tenant)
    } else {
      problems.set(pattern, { pattern, message: `the entry '${missing.entry}' does not exist` })
    }
    yield
  }
  return { tenants, problems: [...problems.values()] }
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
