import * as v from 'valibot'
import { TenantryError } from './errors.ts'
import type { TenantSource } from './group/tenant-source.ts'
import { createAllowList } from './label/allow.ts'
import { createLabel } from './label/expand.ts'
import type { LabelPort, LabelSettings, LabelSpec } from './label/request-facts.ts'
import { createTrust } from './label/trust.ts'
import { defaultCaps, readMachine, type DefaultCaps } from './machine.ts'
import { suggestion } from './nearest.ts'
import { DEFAULT_LOGGER, type LoggerOption } from './ops/logger.ts'
import { DURATION_ACCEPTED, parseDuration, parseSize, showValue, SIZE_ACCEPTED } from './units.ts'

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
  /** The most contexts alive at once: starting, serving and draining all count. */
  readonly maxContexts: number
  /** The most application groups at once; the least recently used idle one makes room. */
  readonly maxGroups: number
  /** The most groups that one wildcard, fallback or function may hold. */
  readonly maxGroupsPerPattern: number
  /** The most contexts started in a minute. */
  readonly maxStarts: number
  /** The most contexts starting at the same time. */
  readonly maxStarting: number
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
  /** How long requests in flight may go on when a context or the runtime closes. */
  readonly drainTimeout: number
  /** How long an ended thread may take to be gone before it counts as a zombie. */
  readonly terminateTimeout: number
  /** How long an event loop may stand still before its context is ended. */
  readonly deadlockTimeout: number
  /** Heap and external memory of one context; over it the context is replaced. */
  readonly memoryLimit: number
  /** Requests that one context serves before it is replaced. */
  readonly maxRequests: number
  /** How long one context serves before it is replaced. */
  readonly maxAge: number
  /** The largest request body. */
  readonly bodyLimit: number
  /** Where the log goes: a pino logger, options for one, or false for none. */
  readonly logger: LoggerOption
  /** Closes the runtime when it is aborted. */
  readonly signal: AbortSignal | undefined
}

export type OptionName = keyof ResolvedOptions

type DurationName =
  | 'startupTimeout' | 'queueTimeout' | 'handlerTimeout' | 'idleTimeout' | 'drainTimeout' | 'terminateTimeout'
  | 'deadlockTimeout' | 'maxAge'

type Accepted<N extends OptionName> =
  N extends DurationName ? Duration : N extends 'memoryLimit' | 'bodyLimit' ? Size : ResolvedOptions[N]

/**
 * What a user writes: everything but `tenants` may be left out or undefined, which means its default.
 * Meanings stand at ResolvedOptions, defaults with their reasons in docs/options.md.
 */
export type RuntimeOptions = { readonly tenants: TenantSource } & {
  readonly [N in Exclude<OptionName, 'tenants'>]?: Accepted<N> | undefined
}

/** How a value is written and read: what the command needs to make a flag of an option. */
export type OptionKind = 'duration' | 'size' | 'count' | 'text' | 'choice' | 'label' | 'proxy' | 'program'

export interface OptionSpec {
  readonly kind: OptionKind
  /** One sentence; the same stands at the option's type. */
  readonly doc: string
  readonly accepts: string
  /** The default as documentation shows it, and why it is that. */
  readonly standard: string
  readonly reason: string
  /** A scalar is also a flag of `serve`. */
  readonly scalar: boolean
  readonly check: v.GenericSchema
  readonly initial: (caps: DefaultCaps, before: Partial<ResolvedOptions>) => unknown
}

type Text = Pick<OptionSpec, 'doc' | 'reason'>

const MB = 1024 ** 2

/** A smaller heap does not even load an application. */
const LEAST_MEMORY = 16 * MB

const PRINTABLE = /^[\x21-\x7e]{1,255}$/

/** Each option once. The order matters: a default may depend on the options before it. */
export const OPTIONS: Readonly<Record<OptionName, OptionSpec>> = {
  tenants: program(v.union([v.pipe(v.string(), v.nonEmpty()), v.instance(Map), v.function(), v.custom(isPlainObject)]), {
    doc: 'Who is served: a folder, a Map or object of host to tenant, or a function of the host.',
    accepts: 'a folder, a Map or object of host to tenant, or a function (host, signal) => tenant',
    standard: 'required', reason: 'nothing can be served without it',
  }),
  applicationGroup: label('%{HOST}', {
    doc: 'Which application group a request belongs to.', reason: 'every host its own Node',
  }),
  processGroup: label('', {
    doc: 'Which process group a request belongs to; empty is this process.', reason: 'as mod_wsgi in embedded mode',
  }),
  allowedHosts: program(v.union([v.literal(true), v.pipe(v.array(v.pipe(v.string(), v.regex(PRINTABLE))), v.minLength(1))]), {
    doc: 'The hosts that are answered at all; true allows any.',
    accepts: "a list of hosts and patterns such as '*.example.com', or true for any",
    standard: "the tenants' hosts", reason: 'a client must not be able to name a host that nobody configured; a function needs it said',
  }),
  serverName: spec('text', v.pipe(v.string(), v.regex(PRINTABLE)), 'localhost', {
    doc: "The server's own name, in labels and for requests without a host.", accepts: 'a host name, with a port or without',
    reason: 'a name that is never anybody else',
  }),
  labelPort: spec('choice', v.picklist(['accepting', 'server', 'host-or-accepting', 'host']), 'accepting', {
    doc: 'Which port may become part of a label.', accepts: 'accepting, server, host-or-accepting or host',
    reason: 'the one port that a client cannot choose',
  }),
  trustProxy: spec('proxy', v.union([v.boolean(), natural(1), v.pipe(v.string(), v.nonEmpty()), v.array(v.string())]), false, {
    doc: 'The proxies whose X-Forwarded headers are believed.',
    accepts: "true, false, a number of hops, or addresses and networks such as 'loopback' and '10.0.0.0/8'",
    reason: 'anybody can send such headers',
  }),
  requestVariables: program(v.function(), {
    doc: 'Request variables for %{ENV:NAME} labels.', accepts: 'a function of the request facts',
    standard: 'none', reason: 'only you know which request data may choose a group',
  }),
  maxContexts: count(1, ({ maxContexts }) => maxContexts, 'from memory and descriptors', {
    doc: 'The most contexts alive at once: starting, serving and draining all count.',
    reason: 'half of the memory at 48mb and half of the descriptors at 5 for each, 2 to 512',
  }),
  maxGroups: count(1, (_, { maxContexts }) => nineTenths(maxContexts as number), 'nine tenths of maxContexts', {
    doc: 'The most application groups at once; the least recently used idle one makes room.',
    reason: 'the rest is room for contexts that drain or replace another',
  }),
  maxGroupsPerPattern: count(1, (_, { maxGroups }) => Math.ceil(maxGroups as number / 2), 'half of maxGroups', {
    doc: 'The most groups that one wildcard, fallback or function may hold.',
    reason: 'hosts that a client makes up cannot push out those that are named',
  }),
  maxStarts: count(1, ({ maxStarts }) => maxStarts, 'maxContexts of this machine, at least 120', {
    doc: 'The most contexts started in a minute.',
    reason: 'an ended thread leaves about 40kb behind, and a full house should be back within a minute',
  }),
  maxStarting: count(1, (caps, { maxContexts }) => Math.min(caps.maxStarting, maxContexts as number), 'cores + 1', {
    doc: 'The most contexts starting at the same time.', reason: 'a start is nearly all CPU, and takes it from those who serve',
  }),
  maxInFlight: count(1, () => 1024, '1024', {
    doc: 'The most requests that one group works on at once.',
    reason: 'far above a busy application, far below what one host needs to exhaust the server',
  }),
  maxQueue: count(0, () => 256, '256', {
    doc: 'The most requests that wait for one group.', reason: 'a waiting request holds a head of up to 16kb: 4mb for a group',
  }),
  startupTimeout: duration('30s', 'above 0', {
    doc: 'How long a context may take until it can serve.', reason: 'a large application on a cold disk',
  }),
  queueTimeout: duration('15s', 'above 0', {
    doc: 'How long a request waits for its group.', reason: 'people leave earlier, proxies give up at 30s or later',
  }),
  handlerTimeout: duration('60s', '0 is off', {
    doc: 'How long an application may take until the head of its answer.', reason: "what proxies in front allow by default",
  }),
  idleTimeout: duration('10m', '0 is off', {
    doc: 'How long a group may be unused before it is ended.', reason: 'a start costs far less than memory held for nobody',
  }),
  drainTimeout: duration('10s', '0 ends at once', {
    doc: 'How long requests in flight may go on when a context or the runtime closes.',
    reason: 'below the 30s after which service managers kill',
  }),
  terminateTimeout: duration('2s', 'above 0', {
    doc: 'How long an ended thread may take to be gone before it counts as a zombie.',
    reason: 'an ordinary thread needs 12ms; one stuck in native code may never end',
  }),
  deadlockTimeout: duration('60s', '0 is off', {
    doc: 'How long an event loop may stand still before its context is ended.', reason: 'longer than honest synchronous work',
  }),
  memoryLimit: size(({ memoryLimit }) => memoryLimit, 'a quarter of the memory, 64mb to 256mb', LEAST_MEMORY, {
    doc: 'Heap and external memory of one context; over it the context is replaced.',
    reason: 'several times what a framework application needs, and one leak cannot take the machine',
  }),
  maxRequests: count(0, () => 0, '0 (off)', {
    doc: 'Requests that one context serves before it is replaced.', reason: 'a healthy application needs no replacement',
  }),
  maxAge: duration('0', '0 is off', {
    doc: 'How long one context serves before it is replaced.', reason: 'a healthy application needs no replacement',
  }),
  bodyLimit: size(() => 0, '0 (off)', 0, {
    doc: 'The largest request body.', reason: 'bodies are streamed and never held, so the application may decide',
  }),
  logger: {
    ...program(v.union([v.literal(false), v.custom(isObject)]), {
      doc: 'Where the log goes: a pino logger, options for one, or false for none.',
      accepts: 'a pino logger, options for one, or false',
      standard: 'pino on stdout, level info', reason: 'why a tenant failed stands nowhere else',
    }),
    initial: () => DEFAULT_LOGGER,
  },
  signal: program(v.instance(AbortSignal), {
    doc: 'Closes the runtime when it is aborted.', accepts: 'an AbortSignal', standard: 'none', reason: 'close() does the same',
  }),
}

export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

/**
 * Every option with its default filled in, checked and frozen.
 * @throws TenantryError ERR_OPTION_INVALID naming the option, the value and what is accepted
 */
export function resolveOptions(options: RuntimeOptions, caps: DefaultCaps = defaultCaps(readMachine())): ResolvedOptions {
  if (!isObject(options)) throw wrong(`the options are ${showValue(options)}; write an object with at least tenants`)
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(OPTIONS, key)) throw wrong(`${showValue(key)} is not an option${suggestion(key, OPTION_NAMES)}`)
  }
  const resolved: { -readonly [N in OptionName]?: unknown } = {}
  for (const name of OPTION_NAMES) {
    const given = (options as Readonly<Record<string, unknown>>)[name]
    resolved[name] = given === undefined
      ? OPTIONS[name].initial(caps, resolved as Partial<ResolvedOptions>)
      : checkOption(name, given)
  }
  const complete = resolved as unknown as ResolvedOptions
  if (complete.tenants === undefined) throw wrong(`tenants is missing; write ${OPTIONS.tenants.accepts}`)
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
  return Array.isArray(result.output) ? Object.freeze([...result.output]) : result.output
}

/** What contradicts itself is an error: a cap that can never be reached would be silently ignored otherwise. */
function refuseConflicts(resolved: ResolvedOptions, given: RuntimeOptions): void {
  const order = [['maxGroups', 'maxContexts'], ['maxGroupsPerPattern', 'maxGroups'], ['maxStarting', 'maxContexts']] as const
  for (const [part, whole] of order) {
    if (resolved[part] <= resolved[whole]) continue
    const origin = given[whole] === undefined ? ` (its default here)` : ''
    throw wrong(`${part} is ${resolved[part]}, but ${whole} is ${resolved[whole]}${origin}; lower ${part} or raise ${whole}`)
  }
  if (typeof resolved.tenants === 'function' && resolved.allowedHosts === undefined) {
    throw wrong('allowedHosts is missing; a tenants function cannot list its hosts, so write them, or true to allow any')
  }
}

/** Labels, hosts and proxies are checked by those who will use them, so that what passes here works later. */
function refuseUnusable({ applicationGroup, processGroup, serverName, labelPort, allowedHosts, trustProxy }: ResolvedOptions): void {
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

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isPlainObject(value: unknown): value is object {
  return isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)
}

function nineTenths(whole: number): number {
  return Math.max(1, Math.floor(whole * 0.9))
}

function natural(least: number): v.GenericSchema<unknown, number> {
  return v.pipe(v.number(), v.safeInteger(), v.minValue(least))
}

/** A schema from a parse function of units.ts: only whether it throws counts, the message is the option's. */
function parsed(parse: (value: number | string) => number, least: number, zeroToo: boolean): v.GenericSchema {
  return v.pipe(v.union([v.number(), v.string()]), v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      const value = parse(dataset.value)
      if (value >= least || (zeroToo && value === 0)) return value
    } catch {
      // Reported below, as every other wrong value.
    }
    addIssue()
    return NEVER
  }))
}

function spec(
  kind: OptionKind, check: v.GenericSchema, initial: unknown, text: Text & { accepts: string },
): OptionSpec {
  return { ...text, kind, check, initial: () => initial, standard: String(initial), scalar: true }
}

function label(initial: string, text: Text): OptionSpec {
  const check = v.union([v.pipe(v.string(), v.regex(/^[^\p{Cc}]{0,255}$/u)), v.function()])
  const accepts = '%{GLOBAL}, %{SERVER}, %{HOST}, %{RESOURCE}, %{ENV:NAME}, a literal, or a function of the request facts'
  return { ...spec('label', check, initial, { ...text, accepts }), standard: initial === '' ? "''" : initial }
}

function count(least: number, initial: OptionSpec['initial'], standard: string, text: Text): OptionSpec {
  return { ...text, kind: 'count', check: natural(least), initial, standard, accepts: `a whole number, ${least} or more`, scalar: true }
}

function duration(initial: string, zero: '0 is off' | '0 ends at once' | 'above 0', text: Text): OptionSpec {
  const check = parsed(parseDuration, 1, zero !== 'above 0')
  const standard = initial === '0' ? '0 (off)' : initial
  const accepts = `${DURATION_ACCEPTED}, ${zero}`
  return { ...text, kind: 'duration', check, initial: () => parseDuration(initial), standard, accepts, scalar: true }
}

function size(initial: OptionSpec['initial'], standard: string, least: number, text: Text): OptionSpec {
  const accepts = `${SIZE_ACCEPTED}, ${least > 0 ? `at least ${least / MB}mb, ` : ''}0 is off`
  return { ...text, kind: 'size', check: parsed(parseSize, least, true), initial, standard, accepts, scalar: true }
}

function program(check: v.GenericSchema, text: Text & { accepts: string; standard: string }): OptionSpec {
  return { ...text, kind: 'program', check, initial: () => undefined, scalar: false }
}
