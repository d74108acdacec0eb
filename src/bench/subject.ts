import { statSync } from 'node:fs'
import path from 'node:path'
import { TenantryError } from '../errors.ts'
import { findEntry, isFile, readJson } from '../group/folder-entry.ts'
import { showValue } from '../units.ts'

/** The application that is measured, with its settings as `serve` would read them. */
export interface Subject {
  /** The entry module; absolute. */
  readonly entry: string
  /** Its own folder: relative paths of its settings are meant from there. */
  readonly directory: string
  /** What tenant.json beside the entry says, with that entry in it. Not checked yet. */
  readonly tenant: Readonly<Record<string, unknown>>
}

/**
 * Finds what is to be measured: a module, or a tenant's folder.
 * @throws TenantryError ERR_CONFIG when there is none, or where one application is not all of it
 */
export function findSubject(target: string, cwd: string): Subject {
  const named = path.resolve(cwd, target)
  const stat = statSync(named, { throwIfNoEntry: false })
  if (stat === undefined) throw new TenantryError('ERR_CONFIG', `${showValue(target)} does not exist; name a module, or a tenant's folder`)
  const directory = stat.isDirectory() ? named : path.dirname(named)
  // Where it runs is what is measured.
  const { mounts, entry: own, applicationGroup: _group, processGroup: _process, ...settings } = readJson(path.join(directory, 'tenant.json')) ?? {}
  const entry = stat.isDirectory() ? entryOf(directory, target, own, mounts) : named
  return { entry, directory, tenant: { ...settings, entry } }
}

function entryOf(directory: string, target: string, own: unknown, mounts: unknown): string {
  if (mounts !== undefined) {
    throw new TenantryError('ERR_CONFIG', 'tenant.json has mounts: name the entry of one of them, since one application is measured')
  }
  if (typeof own !== 'string') {
    try {
      return findEntry(directory)
    } catch (cause) {
      const { message } = cause as Error
      throw new TenantryError('ERR_CONFIG', `${showValue(target)} is no module and no tenant's folder: ${message}`, { cause })
    }
  }
  const entry = path.resolve(directory, own)
  if (isFile(entry)) return entry
  throw new TenantryError('ERR_CONFIG', `tenant.json names ${showValue(own)}, which does not exist`)
}
