import * as v from 'valibot'
import { TenantryError } from './errors.ts'
import type { TenantSource } from './group/tenant-source.ts'
import type { AccessHook, DispatchHook } from './http/hooks.ts'
import type { LaneOption } from './http/lane-choice.ts'
import { createAllowList } from './label/allow.ts'
import { createLabel } from './label/expand.ts'
import type { LabelPort, LabelSettings, LabelSpec } from './label/request-facts.ts'
import { createTrust } from './label/trust.ts'
import { defaultCaps, readMachine, type DefaultCaps } from './machine.ts'
import { suggestion } from './nearest.ts'
import { resolveProcessGroups, type ProcessGroupOptions, type ResolvedProcessGroup } from './process-group-options.ts'
import { isObject } from './option-spec.ts'
import { OPTION_NAMES, OPTIONS } from './option-table.ts'
import type { LoggerOption } from './ops/logger.ts'
import { formatDuration, showValue } from './units.ts'

/** A number of milliseconds, or text such as `'30s'`. */
export type Duration = number | string

/** A number of bytes, or text such as `'64mb'`. */
export type Size = number | string

/** Which peers may speak for a client: none, all, so many hops, or these addresses and networks. */
export type TrustProxy = boolean | number | string | readonly string[]

/** What every option is after resolveOptions: defaults filled in, durations in milliseconds, sizes in bytes. */
export interface ResolvedOptions {
  /** Who is served: a folder, a Map or object of host to tenant, or a function of the host. */
  readonly tenants: TenantSource
  /** Which application group a request belongs to. */
  readonly applicationGroup: LabelSpec
  /** Which process group a request belongs to; empty is this process. */
  readonly processGroup: LabelSpec
  /** Named sets of daemons, by name: processes of their own in which application groups live. */
  readonly processGroups: Readonly<Record<string, ResolvedProcessGroup>>
  /** The hosts that are answered at all; true allows any. */
  readonly allowedHosts: readonly string[] | true | undefined
  /** The server's own name, in labels and for requests without a host. */
  readonly serverName: string
  /** Which port may become part of a label. */
  readonly labelPort: LabelPort
  /** The proxies whose X-Forwarded headers are believed. */
  readonly trustProxy: TrustProxy
  /** Request variables for %{ENV:NAME} labels. */
  readonly requestVariables: LabelSettings['requestVariables']
  /** Chooses where a request goes instead of where its host would take it. */
  readonly dispatch: DispatchHook | undefined
  /** Allows or denies a request before any context starts for it. */
  readonly access: AccessHook | undefined
  /** How requests come to contexts from a server that runtime.listen() or the command has opened; see docs/lanes.md. */
  readonly lane: LaneOption
  /** The most contexts alive at once: starting, serving and draining all count. */
  readonly maxContexts: number
  /** The most application groups at once; the least recently used idle one makes room. */
  readonly maxGroups: number
  /** The most groups that one wildcard, fallback or function may hold. */
  readonly maxGroupsPerPattern: number
  /** The most contexts started in a minute. */
  readonly maxStarts: number
  /** The most contexts starting at the same time; one that takes more than 2s no longer counts. */
  readonly maxStarting: number
  /** Contexts kept started without a tenant, in this process or in each daemon: the next start is the import of its application. */
  readonly spares: number
  /** The most threads that could not be ended; past it the runtime is not ready and starts nothing. */
  readonly maxZombies: number
  /** Resident memory of the server and its daemons; past it idle groups are ended, and nothing is started. */
  readonly maxMemory: number
  /** The most connections of all servers that runtime.listen() or the command has opened, together; one more is closed at once. 0 is off. */
  readonly maxConnections: number
  /** The most requests that one group works on at once. */
  readonly maxInFlight: number
  /** The most requests that wait for one group. */
  readonly maxQueue: number
  /** How long a context may take until it can serve. */
  readonly startupTimeout: number
  /** How long a request waits for its group. */
  readonly queueTimeout: number
  /** How long an application may take until the head of its answer. */
  readonly handlerTimeout: number
  /** How long a group may be unused before it is ended. */
  readonly idleTimeout: number
  /** How long a context may be idle before it collects its garbage and gives the memory back; Node 20 to 24 on Linux only. */
  readonly trimTimeout: number
  /** How long requests in flight may go on when a context or the runtime closes. */
  readonly drainTimeout: number
  /** How long an ended thread may take to be gone before it counts as a zombie. */
  readonly terminateTimeout: number
  /** How long an event loop may stand still before its context is ended. */
  readonly deadlockTimeout: number
  /** Heap and external memory of one context; over it the context is replaced. */
  readonly memoryLimit: number
  /** CPU time of one context over its life; over it the context is replaced. */
  readonly cpuTimeLimit: number
  /** Requests that one context serves before it is replaced. */
  readonly maxRequests: number
  /** How long one context serves before it is replaced. */
  readonly maxAge: number
  /** How long the head of a request may take from its first byte, before bytes extend it. */
  readonly headerTimeout: number
  /** Bytes a second of a head: each byte received extends headerTimeout by its share of a second; 0 is off. */
  readonly headerMinRate: number
  /** How long the head of a request may take at most, however fast it comes. */
  readonly headerMaxTimeout: number
  /** How long the body of a request may take from its first read, before bytes extend it. */
  readonly bodyTimeout: number
  /** Bytes a second of a body: each byte received extends bodyTimeout by its share of a second; 0 is off. */
  readonly bodyMinRate: number
  /** How long the body of a request may take at most, however fast it comes. */
  readonly bodyMaxTimeout: number
  /** How long a client may take nothing of an answer that waits for it, between two writes. */
  readonly sendTimeout: number
  /** The largest request body. */
  readonly bodyLimit: number
  /** Bytes of bodies that one context holds in the front, besides 64kb for each request; also of answers that nobody reads. */
  readonly bufferLimit: number
  /** How far the threads of tenants stand back for the front: their nice value; Linux only. */
  readonly tenantNice: number
  /** Where the log goes: a pino logger, options for one, or false for none. */
  readonly logger: LoggerOption
  /** Closes the runtime when it is aborted. */
  readonly signal: AbortSignal | undefined
}

export type OptionName = keyof ResolvedOptions

type DurationName =
  | 'startupTimeout'
  | 'queueTimeout'
  | 'handlerTimeout'
  | 'idleTimeout'
  | 'trimTimeout'
  | 'drainTimeout'
  | 'terminateTimeout'
  | 'deadlockTimeout'
  | 'cpuTimeLimit'
  | 'maxAge'
  | 'headerTimeout'
  | 'headerMaxTimeout'
  | 'bodyTimeout'
  | 'bodyMaxTimeout'
  | 'sendTimeout'

type Accepted<N extends OptionName> = N extends DurationName
  ? Duration
  : N extends 'memoryLimit' | 'maxMemory' | 'bodyLimit' | 'bufferLimit'
    ? Size
    : N extends 'processGroups'
      ? Readonly<Record<string, ProcessGroupOptions>>
      : ResolvedOptions[N]

/**
 * What a user writes: everything but `tenants` may be left out or undefined, which means its default.
 * Meanings stand at ResolvedOptions, defaults with their reasons in docs/options.md.
 */
export type RuntimeOptions = { readonly tenants: TenantSource } & {
  readonly [N in Exclude<OptionName, 'tenants'>]?: Accepted<N> | undefined
}

/**
 * Every option with its default filled in, checked and frozen.
 * @throws TenantryError ERR_OPTION_INVALID naming the option, the value and what is accepted
 */
export function resolveOptions(
  options: RuntimeOptions,
  caps: DefaultCaps = defaultCaps(readMachine()),
): ResolvedOptions {
  if (!isObject(options)) throw wrong(`the options are ${showValue(options)}; write an object with at least tenants`)
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(OPTIONS, key)) throw wrong(`${showValue(key)} is not an option${suggestion(key, OPTION_NAMES)}`)
  }
  const resolved: { -readonly [N in OptionName]?: unknown } = {}
  for (const name of OPTION_NAMES) {
    const given = (options as Readonly<Record<string, unknown>>)[name]
    resolved[name] =
      given === undefined ? OPTIONS[name].initial(caps, resolved as Partial<ResolvedOptions>) : checkOption(name, given)
  }
  const complete = resolved as unknown as ResolvedOptions
  if (complete.tenants === undefined) throw wrong(`tenants is missing; write ${OPTIONS.tenants.accepts}`)
  resolved['processGroups'] = resolveProcessGroups(resolved['processGroups'] as Readonly<Record<string, unknown>>)
  refuseConflicts(complete, options)
  refuseUnusable(complete)
  return Object.freeze(complete)
}

/**
 * One value, checked and turned into what the runtime works with.
 * @param shown how its writer calls it: `--max-groups` on a command line
 * @throws TenantryError ERR_OPTION_INVALID
 */
export function checkOption(name: OptionName, value: unknown, shown: string = name): unknown {
  const result = v.safeParse(OPTIONS[name].check, value)
  if (!result.success) throw wrong(`${shown} is ${showValue(value)}; write ${OPTIONS[name].accepts}`)
  return Array.isArray(result.output) ? Object.freeze([...(result.output as unknown[])]) : result.output
}

/** What contradicts itself is an error: a cap that can never be reached would be silently ignored otherwise. */
function refuseConflicts(resolved: ResolvedOptions, given: RuntimeOptions): void {
  const order = [
    ['maxGroups', 'maxContexts'],
    ['maxGroupsPerPattern', 'maxGroups'],
    ['maxStarting', 'maxContexts'],
  ] as const
  for (const [part, whole] of order) {
    if (resolved[part] <= resolved[whole]) continue
    const origin = given[whole] === undefined ? ` (its default here)` : ''
    throw wrong(
      `${part} is ${resolved[part]}, but ${whole} is ${resolved[whole]}${origin}; lower ${part} or raise ${whole}`,
    )
  }
  if (resolved.lane === 'handoff' && (resolved.dispatch !== undefined || resolved.access !== undefined)) {
    throw wrong("lane is 'handoff', but hooks are asked for each request; leave dispatch and access out, or lane")
  }
  refuseMaximum(resolved, 'headerMaxTimeout', 'headerTimeout', 'headerMinRate')
  refuseMaximum(resolved, 'bodyMaxTimeout', 'bodyTimeout', 'bodyMinRate')
  if (typeof resolved.tenants === 'function' && resolved.allowedHosts === undefined) {
    throw wrong(
      'allowedHosts is missing; a tenants function cannot list its hosts, so write them, or true to allow any',
    )
  }
}

/** A maximum bounds what received bytes extend: without a rate they extend nothing, and without a timeout there is nothing. */
function refuseMaximum(
  resolved: ResolvedOptions,
  most: 'headerMaxTimeout' | 'bodyMaxTimeout',
  timeout: 'headerTimeout' | 'bodyTimeout',
  minRate: 'headerMinRate' | 'bodyMinRate',
): void {
  if (resolved[most] === 0) return
  const off = ([timeout, minRate] as const).find((name) => resolved[name] === 0)
  if (off !== undefined) {
    throw wrong(`${most} is ${formatDuration(resolved[most])}, but ${off} is 0, so that nothing would be extended; set ${off} or leave ${most} out`)
  }
  if (resolved[most] < resolved[timeout]) {
    throw wrong(
      `${most} is ${formatDuration(resolved[most])}, but ${timeout} is ${formatDuration(resolved[timeout])}; lower ${timeout} or raise ${most}`,
    )
  }
}

/** Labels, hosts and proxies are checked by those who will use them, so that what passes here works later. */
function refuseUnusable({
  applicationGroup,
  processGroup,
  serverName,
  labelPort,
  allowedHosts,
  trustProxy,
}: ResolvedOptions): void {
  const settings: LabelSettings = { serverName, labelPort, environment: {} }
  named('serverName', () => createLabel('%{SERVER}', settings))
  named('applicationGroup', () => createLabel(applicationGroup, settings))
  named('processGroup', () => createLabel(processGroup, settings))
  named('allowedHosts', () => createAllowList(allowedHosts ?? true))
  named('trustProxy', () => createTrust(trustProxy))
}

function named(name: OptionName, use: () => unknown): void {
  try {
    use()
  } catch (error) {
    const message = error instanceof Error ? error.message : showValue(error)
    throw wrong(message.startsWith(name) ? message : `${name}: ${message}`, error)
  }
}

function wrong(message: string, cause?: unknown): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', message, cause === undefined ? {} : { cause })
}
