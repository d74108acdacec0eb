import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ContextLimits, Mount, PermissionSpec, TenantKind } from '../context/context.ts'
import { TenantryError } from '../errors.ts'
import type { Label, LabelSpec } from '../label/request-facts.ts'
import { suggestion } from '../nearest.ts'
import { showValue } from '../units.ts'
import { resolveCertificate } from './certificate-source.ts'
import type { GroupLimits, ResolvedTenant, Tenant, TenantLimits } from './tenant.ts'

type LimitName = keyof TenantLimits

/** The runtime's settings that a tenant falls back to, and who checks what it sets itself. */
export interface TenantDefaults extends ContextLimits, GroupLimits {
  readonly applicationGroup: LabelSpec
  readonly processGroup: LabelSpec
  /** Throws ERR_OPTION_INVALID for a label that is none. */
  readonly createLabel: (spec: LabelSpec) => Label
  /** The check of the runtime option with the same name; `shown`: how its writer calls it. */
  readonly checkLimit: (name: LimitName, value: unknown, shown: string) => unknown
}

const CONTEXT_LIMITS = [
  'startupTimeout', 'memoryLimit', 'bufferLimit', 'cpuTimeLimit', 'deadlockTimeout', 'maxRequests', 'maxAge', 'terminateTimeout',
  'trimTimeout',
] as const satisfies readonly LimitName[]
const GROUP_LIMITS = [
  'handlerTimeout', 'idleTimeout', 'bodyLimit', 'maxInFlight', 'maxQueue',
] as const satisfies readonly LimitName[]
/** What may stand in a tenant's limits. */
export const TENANT_LIMITS: readonly LimitName[] = [...CONTEXT_LIMITS, ...GROUP_LIMITS]

/** What may stand in a Tenant. */
export const TENANT_KEYS = [
  'entry', 'mounts', 'kind', 'applicationGroup', 'processGroup', 'env', 'preload', 'permission', 'threads', 'limits', 'tls',
] as const satisfies readonly (keyof Tenant)[]
const KINDS: readonly TenantKind[] = ['auto', 'listen', 'node', 'fetch']

/** What a tenant has that says nothing of it: one copy for all of them, since there may be a million. */
interface Shared extends Limits {
  readonly applicationGroup: Label
  readonly processGroup: Label
}

interface Limits {
  readonly contextLimits: ContextLimits
  readonly groupLimits: GroupLimits
}

/** More than any machine has processors for; each request looks at all contexts of its group. */
const MAX_THREADS = 256

const NO_VARIABLES: Readonly<Record<string, string>> = Object.freeze({})
const NO_MODULES: readonly string[] = Object.freeze([])

const SHARED = new WeakMap<TenantDefaults, Shared>()

/** Where a tenant was found. */
export interface TenantOrigin {
  readonly pattern: string
  /** Its relative paths start from here. */
  readonly base: string
  /** The application's own folder; default that of its entry. */
  readonly directory?: string
}

/**
 * A tenant as its writer gave it, checked, with the defaults filled in. Text is an entry module.
 * @throws TenantryError ERR_OPTION_INVALID, naming tenant, setting, value and what is accepted
 */
export function resolveTenant(given: unknown, origin: TenantOrigin, defaults: TenantDefaults): ResolvedTenant {
  const name = `the tenant '${origin.pattern}'`
  const tenant = typeof given === 'string' || given instanceof URL ? { entry: given } : given
  if (!isRecord(tenant)) {
    throw wrong(`${name} is ${showValue(given)}; write an entry module, or an object with entry or mounts`)
  }
  refuseUnknown(name, tenant, TENANT_KEYS)
  const mounts = readMounts(name, tenant, origin.base)
  const { directory = path.dirname((mounts.at(-1) as Mount).entry) } = origin
  const shared = sharedOf(defaults)
  const label = (setting: 'applicationGroup' | 'processGroup'): Label => {
    const spec = readLabel(name, setting, tenant[setting])
    return spec === undefined ? shared[setting] : within(`${setting} of ${name}`, () => defaults.createLabel(spec))
  }
  const limits = tenant['limits'] === undefined ? shared : limitsOf(readLimits(name, tenant['limits'], defaults))
  const application = {
    mounts,
    kind: readKind(name, tenant['kind']),
    env: readEnv(name, tenant['env']),
    preload: readPreload(name, tenant['preload'], origin.base),
    permission: readPermission(name, tenant['permission'], origin.base),
    directory,
    threads: readThreads(name, tenant['threads']),
    contextLimits: limits.contextLimits,
    groupLimits: limits.groupLimits,
  }
  return Object.freeze({
    ...application,
    applicationGroup: label('applicationGroup'),
    processGroup: label('processGroup'),
    tls: tenant['tls'] === undefined ? undefined : resolveCertificate(`tls of ${name}`, tenant['tls'], origin.base),
    identity: digest(JSON.stringify(application)),
    revision: revisionOf(tenant, [restartFile(directory), ...mounts.map(({ entry }) => entry)]),
  })
}

/** Touched to ask for new contexts, also where no code has changed; Passenger's name for it. */
export function restartFile(directory: string): string {
  return path.join(directory, 'tmp', 'restart.txt')
}

/** Changes when the settings or one of the files do; certificates are changed without a new context. */
export function revisionOf(settings: object, files: readonly string[]): string {
  const text = JSON.stringify({ ...settings, tls: undefined }, (_, value: unknown) => (typeof value === 'function' ? String(value) : value))
  const stamps = files.map((file) => {
    const stat = statSync(file, { throwIfNoEntry: false })
    return stat === undefined ? '-' : `${stat.mtimeMs}:${stat.size}`
  })
  return digest(`${text}\n${stamps.join(' ')}`)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

function readMounts(name: string, tenant: Record<string, unknown>, base: string): readonly Mount[] {
  const { entry, mounts } = tenant
  if ((entry === undefined) === (mounts === undefined)) {
    const which = entry === undefined ? 'neither entry nor mounts' : 'entry and mounts'
    throw wrong(`${name} has ${which}; write one of them`)
  }
  if (entry !== undefined) {
    return Object.freeze([Object.freeze({ path: '', entry: readModule(`entry of ${name}`, entry, base) })])
  }
  if (!isRecord(mounts) || Object.keys(mounts).length === 0) {
    throw wrong(`mounts of ${name} is ${showValue(mounts)}; write an object of mount path to entry module`)
  }
  const resolved = Object.entries(mounts).map(([at, module]) => {
    const entryModule = readModule(`mounts[${showValue(at)}] of ${name}`, module, base)
    return Object.freeze({ path: readMountPath(name, at), entry: entryModule })
  })
  const paths = new Set(resolved.map((mount) => mount.path))
  if (paths.size < resolved.length) throw wrong(`mounts of ${name} names a path twice; '/a' and '/a/' are the same`)
  return Object.freeze(resolved.toSorted((a, b) => b.path.length - a.path.length))
}

function readMountPath(name: string, text: string): string {
  const plain = text.replace(/\/+$/, '')
  const segments = plain.split('/')
  const fine = text.startsWith('/') && /^[\x21-\x7e]*$/.test(text) && !/[?#%\\]/.test(text)
    && segments.every((segment, index) => (index === 0) === (segment === '') && segment !== '.' && segment !== '..')
  if (!fine) throw wrong(`mounts of ${name} has the path ${showValue(text)}; write '/' or a plain path such as '/blog'`)
  return plain
}

function readModule(what: string, value: unknown, base: string): string {
  if (value instanceof URL || (typeof value === 'string' && value.startsWith('file:'))) {
    return within(what, () => fileURLToPath(value))
  }
  if (typeof value !== 'string' || value === '') {
    throw wrong(`${what} is ${showValue(value)}; write a path or a file: URL`)
  }
  return path.resolve(base, value)
}

function readKind(name: string, value: unknown = 'auto'): TenantKind {
  const kind = KINDS.find((candidate) => candidate === value)
  if (kind === undefined) throw wrong(`kind of ${name} is ${showValue(value)}; write ${KINDS.join(', ')}`)
  return kind
}

function readLabel(name: string, setting: string, value: unknown): LabelSpec | undefined {
  if (value === undefined || typeof value === 'string' || typeof value === 'function') {
    return value as LabelSpec | undefined
  }
  throw wrong(`${setting} of ${name} is ${showValue(value)}; write a label such as '%{HOST}'`)
}

function readEnv(name: string, value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return NO_VARIABLES
  if (!isRecord(value)) throw wrong(`env of ${name} is ${showValue(value)}; write an object of text`)
  for (const [variable, text] of Object.entries(value)) {
    if (typeof text !== 'string' || text.includes('\0')) {
      throw wrong(`env.${variable} of ${name} is ${showValue(text)}; write text`)
    }
    if (!/^[^=\0]+$/.test(variable)) {
      throw wrong(`env of ${name} has the variable ${showValue(variable)}; write a name without '='`)
    }
  }
  return Object.freeze({ ...value } as Record<string, string>)
}

/** Paths are made absolute; anything else is a package name, looked up from the entry. */
function readPreload(name: string, value: unknown, base: string): readonly string[] {
  if (value === undefined) return NO_MODULES
  const list = readTexts(`preload of ${name}`, typeof value === 'string' ? [value] : value)
  return Object.freeze(list.map((module) => (/^\.{0,2}[/\\]/.test(module) ? path.resolve(base, module) : module)))
}

function readPermission(name: string, value: unknown, base: string): PermissionSpec | undefined {
  if (value === undefined || value === false) return undefined
  if (value !== true && !isRecord(value)) {
    const accepted = 'true, false, or { read, write } with lists of paths'
    throw wrong(`permission of ${name} is ${showValue(value)}; write ${accepted}`)
  }
  const lists = value === true ? {} : value
  refuseUnknown(`permission of ${name}`, lists, ['read', 'write'])
  const paths = (key: 'read' | 'write'): readonly string[] =>
    Object.freeze(readTexts(`permission.${key} of ${name}`, lists[key] ?? []).map((file) => path.resolve(base, file)))
  return Object.freeze({ read: paths('read'), write: paths('write') })
}

function readThreads(name: string, value: unknown = 1): number {
  if (Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= MAX_THREADS) return Number(value)
  throw wrong(`threads of ${name} is ${showValue(value)}; write a whole number from 1 to ${MAX_THREADS}`)
}

function sharedOf(defaults: TenantDefaults): Shared {
  const known = SHARED.get(defaults)
  if (known !== undefined) return known
  const { applicationGroup, processGroup, createLabel } = defaults
  const made: Shared = {
    applicationGroup: createLabel(applicationGroup),
    processGroup: createLabel(processGroup),
    ...limitsOf(defaults),
  }
  SHARED.set(defaults, made)
  return made
}

function limitsOf(all: ContextLimits & GroupLimits): Limits {
  return { contextLimits: pick(all, CONTEXT_LIMITS), groupLimits: pick(all, GROUP_LIMITS) }
}

function readLimits(name: string, value: unknown, defaults: TenantDefaults): Record<LimitName, number> {
  if (!isRecord(value)) {
    throw wrong(`limits of ${name} is ${showValue(value)}; write an object such as { "memoryLimit": "64mb" }`)
  }
  refuseUnknown(`limits of ${name}`, value, TENANT_LIMITS)
  const entries = TENANT_LIMITS.map((limit) => {
    const given = value[limit]
    if (given === undefined) return [limit, defaults[limit]]
    return [limit, defaults.checkLimit(limit, given, `limits.${limit} of ${name}`)]
  })
  return Object.fromEntries(entries) as Record<LimitName, number>
}

function readTexts(what: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((text) => typeof text === 'string' && text !== '')) return value as string[]
  throw wrong(`${what} is ${showValue(value)}; write a list of text`)
}

function refuseUnknown(name: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) {
    throw wrong(`${name} has the unknown setting ${showValue(unknown)}${suggestion(unknown, known)}`)
  }
}

function pick<K extends LimitName>(
  limits: Record<LimitName, number>, names: readonly K[],
): Readonly<Record<K, number>> {
  return Object.freeze(Object.fromEntries(names.map((name) => [name, limits[name]])) as Record<K, number>)
}

/** The message of what goes wrong inside names where it stands. */
function within<T>(what: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw wrong(`${what}: ${error instanceof Error ? error.message : String(error)}`, error)
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(message: string, cause?: unknown): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', message, cause === undefined ? {} : { cause })
}
