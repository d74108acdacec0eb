import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { TenantryError } from '../errors.ts'

/** A settings file is read whole: a larger one is a mistake. */
const MAX_JSON = 1024 * 1024

/** Tried in this order when neither tenant.json nor package.json names an entry. */
const NAMES = ['server', 'index', 'app', 'src/server']

/** What an import in Node looks for in package.json's exports. */
const CONDITIONS = ['node', 'import', 'module-sync', 'default', 'require']

/** Endings that this Node runs. */
export function runnableEndings(): readonly string[] {
  const { typescript } = process.features as { typescript?: unknown }
  const hasTypes = typescript !== undefined && typescript !== false
  return ['.js', '.mjs', '.cjs', ...(hasTypes ? ['.ts'] : [])]
}

/**
 * The entry module of a folder: package.json's exports or main, else a file with a well-known name.
 * @throws TenantryError ERR_CONFIG, saying what was looked for
 */
export function findEntry(folder: string): string {
  const named = entryOfPackage(folder)
  if (named !== undefined) return named
  const endings = runnableEndings()
  for (const name of NAMES) {
    for (const ending of endings) {
      const file = path.join(folder, name + ending)
      if (isFile(file)) return file
    }
  }
  const names = `${NAMES.join(', ')} with ${endings.join(', ')}`
  const message = `no entry: tenant.json names none, package.json has no main that exists, and there is no ${names}`
  throw new TenantryError('ERR_CONFIG', message + adviceOnTypes(folder, endings))
}

/** What to do about an entry in TypeScript where this Node does not run it. */
function adviceOnTypes(folder: string, endings: readonly string[]): string {
  if (endings.includes('.ts')) return ''
  const found = NAMES.map((name) => `${name}.ts`).find((name) => isFile(path.join(folder, name)))
  if (found === undefined) return ''
  return `; there is ${found}, which Node ${process.versions.node} does not run: compile it, or take Node 22.18 or later`
}

/**
 * A JSON file that holds an object; undefined when there is no such file.
 * @throws TenantryError ERR_CONFIG when it is no JSON object, or too large
 */
export function readJson(file: string): Record<string, unknown> | undefined {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return undefined
  const name = path.basename(file)
  if (!stat.isFile() || stat.size > MAX_JSON) throw new TenantryError('ERR_CONFIG', `${name} is no file of at most 1mb`)
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TenantryError('ERR_CONFIG', `${name} cannot be read: ${why}`, { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new TenantryError('ERR_CONFIG', `${name} holds no object`)
}

export function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true
}

/** `npm init` writes a main that often does not exist: then it counts as not written, as Node itself does. */
function entryOfPackage(folder: string): string | undefined {
  const manifest = readJson(path.join(folder, 'package.json'))
  const text = exportOf(manifest?.['exports']) ?? manifest?.['main']
  if (typeof text !== 'string' || text === '') return undefined
  const file = path.resolve(folder, text)
  const guesses = runnableEndings().flatMap((ending) => [file + ending, path.join(file, `index${ending}`)])
  const candidates = [file, ...guesses]
  return candidates.find(isFile)
}

/** The target of '.' under the conditions of an import in Node. */
function exportOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(exportOf).find((target) => target !== undefined)
  if (typeof value !== 'object' || value === null) return undefined
  const record = value as Record<string, unknown>
  if (Object.hasOwn(record, '.')) return exportOf(record['.'])
  const condition = Object.keys(record).find((key) => CONDITIONS.includes(key) && exportOf(record[key]) !== undefined)
  return condition === undefined ? undefined : exportOf(record[condition])
}
