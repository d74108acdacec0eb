import { readdirSync, statSync } from 'node:fs'
import type { Dirent } from 'node:fs'
import path from 'node:path'
import { TenantryError } from '../errors.ts'
import { ANY_PATTERN, canonicalPattern } from '../label/host.ts'
import { findEntry, isFile, readJson } from './folder-entry.ts'
import type { Listing } from './listed-directory.ts'
import { resolveTenant, restartFile, revisionOf } from './resolve-tenant.ts'
import type { TenantDefaults } from './resolve-tenant.ts'
import type { Steps } from './slices.ts'
import type { ResolvedTenant, TenantProblem } from './tenant.ts'

/**
 * Every tenant of a folder, one folder each, named after its host. A broken one is a problem, never an exception.
 * @throws TenantryError ERR_CONFIG when the folder itself cannot be read
 */
export function* readFolder(folder: string, defaults: TenantDefaults): Steps<Listing> {
  const tenants = new Map<string, ResolvedTenant>()
  const problems: TenantProblem[] = []
  for (const name of folderNames(folder)) {
    try {
      checkName(name)
      tenants.set(name, readTenant(path.join(folder, name), name, defaults))
    } catch (error) {
      problems.push({ pattern: name, message: error instanceof Error ? error.message : String(error) })
    }
    yield
  }
  return { tenants, problems }
}

/** Folders and symbolic links to folders; what starts with a dot and files are not ours. */
function folderNames(folder: string): string[] {
  let entries: Dirent[]
  try {
    entries = readdirSync(folder, { withFileTypes: true })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TenantryError('ERR_CONFIG', `the tenants' folder '${folder}' cannot be read: ${why}`, { cause })
  }
  return entries
    .filter(({ name }) => !name.startsWith('.') && name !== 'node_modules')
    .filter((entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(path.join(folder, entry.name))))
    .map(({ name }) => name)
    .toSorted()
}

function isFolder(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    // A link that points at itself, or a folder above that may not be entered.
    return false
  }
}

function checkName(name: string): void {
  const canonical = canonicalPattern(name)
  if (canonical === ANY_PATTERN) {
    throw new TenantryError('ERR_CONFIG', `a folder for every host is named '_default', not '*'`)
  }
  if (canonical !== name) throw new TenantryError('ERR_CONFIG', `the folder '${name}' must be named '${canonical}'`)
}

function readTenant(folder: string, pattern: string, defaults: TenantDefaults): ResolvedTenant {
  const settingsFile = path.join(folder, 'tenant.json')
  const settings = readJson(settingsFile) ?? {}
  const named = settings['entry'] !== undefined || settings['mounts'] !== undefined
  const complete = named ? settings : { ...settings, entry: findEntry(folder) }
  const tenant = resolveTenant(complete, { pattern, base: folder, directory: folder }, defaults)
  const entries = tenant.mounts.map(({ entry }) => entry)
  const missing = entries.find((entry) => !isFile(entry))
  if (missing !== undefined) {
    throw new TenantryError('ERR_CONFIG', `the entry '${path.relative(folder, missing)}' does not exist`)
  }
  const revision = revisionOf(settings, [settingsFile, path.join(folder, 'package.json'), restartFile(folder), ...entries])
  return Object.freeze({ ...tenant, revision })
}
