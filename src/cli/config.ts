import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { TenantryError } from '../errors.ts'
import type { RuntimeOptions } from '../options.ts'
import { DEFAULT_LOGGER, type LoggerOption } from '../ops/logger.ts'
import { showValue } from '../units.ts'
import type { ServedTls } from './world.ts'
import { readEnvironment, readSettings, type CommandSettings, type Settings } from './flags.ts'

/** Looked for in the current folder when the command names nothing. */
const USUAL_FILES = ['tenantry.config.mjs', 'tenantry.config.js', 'tenantry.json']
const USUAL_FOLDER = 'tenants'

export interface Configuration extends Pick<CommandSettings, 'host' | 'port' | 'watch'> {
  /** How the server speaks TLS; undefined: it does not. */
  readonly tls: ServedTls | undefined
  readonly options: RuntimeOptions
  /** The configuration file, if there is one. */
  readonly file: string | undefined
}

/**
 * What the command works with: flag > environment > configuration file > default.
 * @param target a folder of tenants, a configuration file, or undefined for the usual places
 * @throws TenantryError ERR_CONFIG or ERR_OPTION_INVALID, in one line
 */
export async function loadConfiguration(
  target: string | undefined,
  flags: Settings,
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<Configuration> {
  const path = findTarget(target, cwd)
  const folder = statSync(path).isDirectory()
  const fromFile: Settings = folder ? { tenants: path } : await readFile(path)
  const { host, port, watch, logLevel, processes, tls, tlsCert, tlsKey, http2, ...options } =
    { ...fromFile, ...readEnvironment(env), ...flags }
  if (options.tenants === undefined)
    throw new TenantryError('ERR_CONFIG', `${basename(path)} names no tenants; write a folder or an object`)
  return {
    file: folder ? undefined : path,
    host: (host as string | undefined) ?? '127.0.0.1',
    port: (port as number | undefined) ?? 8080,
    watch: (watch as boolean | undefined) ?? false,
    tls: tlsOf({ tls, tlsCert, tlsKey, http2 } as Partial<CommandSettings>, cwd),
    options: {
      ...options,
      ...daemons(processes as number | undefined, options),
      logger: withLevel(options.logger as LoggerOption | undefined, logLevel as string | undefined),
    } as unknown as RuntimeOptions,
  }
}

/** Who names a certificate wants TLS. */
function tlsOf({ tls, tlsCert, tlsKey, http2 }: Partial<CommandSettings>, cwd: string): ServedTls | undefined {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [given, missing] = tlsCert === undefined ? ['tlsKey', 'tlsCert'] : ['tlsCert', 'tlsKey']
    throw new TenantryError('ERR_CONFIG', `${given} is set and ${missing} is not; write both`)
  }
  if (tls === false && tlsCert !== undefined) throw new TenantryError('ERR_CONFIG', 'tls is off and tlsCert is set; leave one out')
  if (tls !== true && tlsCert === undefined) {
    if (http2 !== undefined) throw new TenantryError('ERR_CONFIG', 'http2 is set, but is offered over TLS only; set tls or tlsCert')
    return undefined
  }
  return {
    ...(tlsCert !== undefined && tlsKey !== undefined && { cert: absolutePem(tlsCert, cwd), key: absolutePem(tlsKey, cwd) }),
    ...(http2 !== undefined && { http2 }),
  }
}

/** The process group of tenants for which nobody chose another. */
export const TENANTS_GROUP = 'tenants'

/**
 * As mod_wsgi-express does: the process that holds the listening socket runs no tenant, unless somebody says so.
 * Who names process groups has said where tenants run.
 */
function daemons(
  processes: number | undefined, options: Settings,
): Pick<RuntimeOptions, 'processGroup' | 'processGroups'> {
  const isChosen = options.processGroup !== undefined || options.processGroups !== undefined
  if (isChosen && processes !== undefined) {
    const message = 'processes puts every tenant into one process group: leave it out where processGroup or processGroups is set'
    throw new TenantryError('ERR_CONFIG', message)
  }
  const count = processes ?? (isChosen || process.platform === 'win32' ? 0 : 1)
  if (count === 0) return {}
  return { processGroup: TENANTS_GROUP, processGroups: { [TENANTS_GROUP]: { processes: count, startAhead: true } } }
}

/** What `--watch` looks at: the folder of tenants, or the entries of a table, the configuration file, and certificates. */
export function watchedPaths({ file, tls, options: { tenants } }: Configuration): string[] {
  const entries = tenants instanceof Map ? [...tenants.values()].flatMap(entriesOf).filter((entry) => existsSync(entry)) : []
  // Where restart.txt is touched; a folder of tenants is watched with all that is in it.
  const touched = entries.map((entry) => join(dirname(entry), 'tmp')).filter((folder) => existsSync(folder))
  const own = [...(typeof tenants === 'string' ? [tenants] : []), ...(file === undefined ? [] : [file])]
  const certified = tenants instanceof Map ? [...tenants.values()].map((tenant: TenantEntry | string) => typeof tenant === 'string' ? undefined : tenant.tls) : []
  const certificates = [tls, ...certified].flatMap((pair) => [pair?.cert, pair?.key])
    .filter((pem): pem is string => typeof pem === 'string' && existsSync(pem))
  return [...new Set([...own, ...entries, ...touched, ...certificates])]
}

interface TenantEntry {
  readonly entry?: unknown
  readonly mounts?: Readonly<Record<string, unknown>>
  readonly tls?: { readonly cert?: unknown; readonly key?: unknown }
}

function entriesOf(tenant: TenantEntry | string): string[] {
  const entries = typeof tenant === 'string' ? [tenant] : [tenant.entry, ...Object.values(tenant.mounts ?? {})]
  return entries.filter((entry) => typeof entry === 'string')
}

/** The log of the command: a level is for the logger it makes, and cannot be put on one of yours. */
function withLevel(logger: LoggerOption | undefined, level: string | undefined): LoggerOption {
  if (level === undefined) return logger ?? DEFAULT_LOGGER
  if (logger === undefined) return { ...DEFAULT_LOGGER, level }
  throw new TenantryError('ERR_CONFIG', 'logLevel and logger are both set; set the level in logger')
}

function findTarget(target: string | undefined, cwd: string): string {
  if (target !== undefined) {
    const path = resolve(cwd, target)
    if (existsSync(path)) return path
    throw new TenantryError(
      'ERR_CONFIG',
      `${showValue(target)} does not exist; write a folder of tenants or a configuration file`,
    )
  }
  const usual = [...USUAL_FILES, USUAL_FOLDER].map((name) => resolve(cwd, name)).find((path) => existsSync(path))
  if (usual !== undefined) return usual
  const places = `${USUAL_FILES.join(', ')} and ${USUAL_FOLDER}/`
  throw new TenantryError(
    'ERR_CONFIG',
    `nothing to serve: ${places} are not here; name a folder of tenants or a configuration file`,
  )
}

async function readFile(path: string): Promise<Settings> {
  const name = basename(path)
  const values = extname(path) === '.json' ? parseJson(path, name) : await importFile(path, name)
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new TenantryError('ERR_CONFIG', `${name} is ${showValue(values)}; write an object with at least tenants`)
  }
  // Paths in a file are meant from that file; checked first, so that nothing of a wrong shape is walked.
  const settings = readSettings(values, name)
  return {
    ...settings,
    ...(settings.tenants !== undefined && { tenants: absoluteTenants(settings.tenants, dirname(path)) }),
    ...(settings.tlsCert !== undefined && { tlsCert: absolutePem(settings.tlsCert, dirname(path)) }),
    ...(settings.tlsKey !== undefined && { tlsKey: absolutePem(settings.tlsKey, dirname(path)) }),
  }
}

function parseJson(path: string, name: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new TenantryError('ERR_CONFIG', `${name} is not JSON: ${oneLine(error)}`, { cause: error })
  }
}

async function importFile(path: string, name: string): Promise<unknown> {
  if (!['.mjs', '.js', '.cjs'].includes(extname(path))) {
    throw new TenantryError(
      'ERR_CONFIG',
      `${name} is no configuration file; write .json, or .mjs or .js with a default export`,
    )
  }
  try {
    // The time of change makes a new URL, or a changed file would come from the cache of modules.
    const module = (await import(`${pathToFileURL(path).href}?changed=${statSync(path).mtimeMs}`)) as {
      default?: unknown
    }
    return module.default
  } catch (error) {
    throw new TenantryError('ERR_CONFIG', `${name} failed while loading: ${oneLine(error)}`, { cause: error })
  }
}

function absoluteTenants(tenants: unknown, folder: string): unknown {
  if (typeof tenants === 'string') return resolve(folder, tenants)
  if (typeof tenants === 'function') return tenants
  const entries: Iterable<[string, unknown]> = tenants instanceof Map ? tenants : Object.entries(tenants as object)
  return new Map([...entries].map(([host, tenant]) => [host, absoluteTenant(tenant, folder)]))
}

function absoluteTenant(tenant: unknown, folder: string): unknown {
  if (typeof tenant === 'string' || tenant instanceof URL) return absoluteEntry(tenant, folder)
  if (typeof tenant !== 'object' || tenant === null) return tenant
  const { entry, mounts, tls } = tenant as { entry?: unknown; mounts?: unknown; tls?: unknown }
  return {
    ...tenant,
    ...(entry !== undefined && { entry: absoluteEntry(entry, folder) }),
    ...(typeof mounts === 'object' &&
      mounts !== null && {
        mounts: Object.fromEntries(Object.entries(mounts).map(([path, at]) => [path, absoluteEntry(at, folder)])),
      }),
    ...(typeof tls === 'object' &&
      tls !== null && { tls: Object.fromEntries(Object.entries(tls).map(([name, at]) => [name, absolutePem(at, folder)])) }),
  }
}

function absoluteEntry(entry: unknown, folder: string): unknown {
  if (entry instanceof URL) return entry.protocol === 'file:' ? fileURLToPath(entry) : entry
  if (typeof entry !== 'string') return entry
  return entry.startsWith('file:') ? fileURLToPath(entry) : resolve(folder, entry)
}

/** What is no path is left as it is: PEM itself, or what will be refused. */
function absolutePem<T>(file: T, folder: string): T | string {
  return typeof file !== 'string' || file === '' || file.includes('-----BEGIN ') ? file : resolve(folder, file)
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : showValue(error)
  return message.split('\n', 1)[0]?.slice(0, 300) ?? ''
}
