import { statSync } from 'node:fs'
import path from 'node:path'
import * as v from 'valibot'
import { idOf, loginGroup } from './context/daemon-command.ts'
import { TenantryError } from './errors.ts'
import { suggestion } from './nearest.ts'
import { count, duration, isPlainObject, program, size, type OptionSpec } from './option-spec.ts'
import { showValue } from './units.ts'
import type { PermissionSpec } from './context/context.ts'
import type { DaemonCommand } from './context/daemon-command.ts'
import type { ProcessGroupLimits } from './group/process-group.ts'

/** A named set of daemons: what a user writes. Meanings and defaults stand in docs/options.md. */
export interface ProcessGroupOptions {
  /** How many daemons. */
  readonly processes?: number | undefined
  /** Start them with the runtime instead of with the first request. */
  readonly startAhead?: boolean | undefined
  /** Whom the daemons run as: a name or a number. Needs root. */
  readonly user?: string | number | undefined
  readonly group?: string | number | undefined
  /** In octal, as text: '027'. */
  readonly umask?: string | number | undefined
  /** The whole environment of the daemons; that of a tenant is its own. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Options for Node itself. */
  readonly execArgv?: readonly string[] | undefined
  /** Node's permission model: what a daemon may read and write beside our own code. */
  readonly permission?: { readonly read?: readonly string[]; readonly write?: readonly string[] } | undefined
  readonly workingDirectory?: string | undefined
  readonly maxRequests?: number | undefined
  readonly maxAge?: number | string | undefined
  readonly idleTimeout?: number | string | undefined
  readonly cpuTimeLimit?: number | string | undefined
  readonly memoryLimit?: number | string | undefined
  readonly maxContexts?: number | undefined
}

/** After its options were checked. */
export interface ResolvedProcessGroup {
  readonly command: DaemonCommand
  readonly limits: ProcessGroupLimits
  readonly startAhead: boolean
  /** undefined: the runtime's. */
  readonly maxContexts: number | undefined
}

type Name = keyof ProcessGroupOptions

/** After the check of each: defaults filled in, durations in milliseconds, sizes in bytes. */
type Checked = Omit<ProcessGroupOptions, keyof ProcessGroupLimits | 'startAhead'> & ProcessGroupLimits & { readonly startAhead: boolean }

/** Far above the processors of any machine that one would give to one application. */
export const MAX_PROCESSES = 256

const account = v.union([v.pipe(v.string(), v.regex(/^[\w.-]{1,32}\$?$/)), v.pipe(v.number(), v.safeInteger(), v.minValue(0))])
const texts = v.array(v.pipe(v.string(), v.nonEmpty()))
const off = { accepts: '', standard: 'none' }

/** Each option of a process group once, for the check and for docs/options.md. */
export const PROCESS_GROUP_OPTIONS: Readonly<Record<Name, OptionSpec>> = {
  processes: count(1, () => 1, '1', {
    doc: 'How many daemons there are; the one with the least to do gets the next request.',
    reason: 'one daemon uses several processors already, a thread for each application group',
  }, MAX_PROCESSES),
  startAhead: {
    ...program(v.boolean(), {
      ...off, accepts: 'true or false', standard: 'false',
      doc: 'Start the daemons with the runtime.',
      reason: 'a daemon that nobody asks for costs 45mb',
    }),
    initial: () => false,
  },
  user: program(account, {
    ...off, accepts: 'a name or a number', standard: "the front's",
    doc: 'The user whom the daemons run as; only root can choose one.',
    reason: 'only root may become somebody else',
  }),
  group: program(account, {
    ...off, accepts: 'a name or a number', standard: "the user's own",
    doc: 'Their group; no other groups are kept.',
    reason: 'as a login of that user would have it, and nothing more',
  }),
  umask: program(v.union([v.pipe(v.string(), v.regex(/^0?[0-7]{3}$/)), v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0o777))]), {
    ...off, accepts: "octal text such as '027'", standard: "the front's",
    doc: 'What the files that they make do not allow.',
    reason: 'what the operator set for the server',
  }),
  env: program(v.record(v.string(), v.string()), {
    ...off, accepts: 'an object of text', standard: '{}',
    doc: 'The whole environment of the daemons. A tenant has its own `env`.',
    reason: "the front's environment holds secrets that are nobody else's",
  }),
  execArgv: program(texts, {
    ...off, accepts: 'a list of text', standard: '[]',
    doc: 'Options for Node itself, such as --max-old-space-size=2048.',
    reason: "the front's own are not meant for them",
  }),
  permission: program(v.strictObject({ read: v.optional(texts), write: v.optional(texts) }), {
    ...off, accepts: '{ read, write } with lists of paths', standard: 'none',
    doc: "Node's permission model for the whole daemon; it reads our own code as well.",
    reason: 'the folders of your tenants are yours to name',
  }),
  workingDirectory: program(v.pipe(v.string(), v.nonEmpty()), {
    ...off, accepts: 'a path', standard: "the front's",
    doc: 'Where the daemons start. An application sees its own folder all the same.',
    reason: 'what the operator started the server in',
  }),
  maxRequests: count(0, () => 0, '0 (off)', {
    doc: 'Requests that one daemon serves before it is replaced.',
    reason: 'a healthy application needs no replacement',
  }),
  maxAge: duration('0', '0 is off', {
    doc: 'How long one daemon serves before it is replaced.',
    reason: 'a healthy application needs no replacement',
  }),
  idleTimeout: duration('0', '0 is off', {
    doc: 'A daemon without a request for so long ends; the next request starts another.',
    reason: 'its groups end by their own idleTimeout, and what is left of it is small',
  }),
  cpuTimeLimit: duration('0', '0 is off', {
    doc: 'CPU time of one daemon; over it the daemon is replaced, a quarter over it killed.',
    reason: 'how much is too much depends on how long it lives',
  }),
  memoryLimit: size(() => 0, '0 (off)', 64 * 1024 ** 2, {
    doc: 'Resident memory of one daemon; over it the daemon is replaced, a quarter over it killed.',
    reason: 'its contexts have limits of their own',
  }),
  maxContexts: count(1, () => undefined, "the runtime's", {
    doc: 'The most contexts in one daemon.',
    reason: 'a daemon has the same caps as the front',
  }),
}

export const PROCESS_GROUP_OPTION_NAMES = Object.keys(PROCESS_GROUP_OPTIONS) as readonly Name[]

/**
 * Every process group, checked.
 * @throws TenantryError ERR_OPTION_INVALID naming the group, the option, the value and what is accepted
 */
export function resolveProcessGroups(given: Readonly<Record<string, unknown>>): Readonly<Record<string, ResolvedProcessGroup>> {
  const groups = Object.entries(given).map(([name, options]) => {
    if (!/^[^\p{Cc}%][^\p{Cc}]{0,254}$/u.test(name)) {
      throw wrong(`processGroups has the name ${showValue(name)}; write one that is not empty and begins with no %`)
    }
    return [name, Object.freeze(resolveOne(`processGroups[${showValue(name)}]`, options))] as const
  })
  return Object.freeze(Object.fromEntries(groups))
}

function resolveOne(shown: string, options: unknown): ResolvedProcessGroup {
  if (!isPlainObject(options)) throw wrong(`${shown} is ${showValue(options)}; write an object, {} for the defaults`)
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(PROCESS_GROUP_OPTIONS, key)) {
      throw wrong(`${shown} has the unknown option ${showValue(key)}${suggestion(key, PROCESS_GROUP_OPTION_NAMES)}`)
    }
  }
  const checked = PROCESS_GROUP_OPTION_NAMES.map((name) => [name, check(shown, name, (options as Record<string, unknown>)[name])])
  const {
    user, group, umask, env, execArgv, permission, workingDirectory, startAhead, maxContexts, ...limits
  } = Object.fromEntries(checked) as Checked
  return {
    command: Object.freeze({
      ...accountOf(shown, user, group),
      umask: octal(umask),
      env: Object.freeze({ ...env }),
      execArgv: Object.freeze([...(execArgv ?? [])]),
      permission: permission && absolute(permission),
      workingDirectory: workingDirectory && folderAt(`${shown}.workingDirectory`, workingDirectory),
    }),
    limits: Object.freeze(limits),
    startAhead,
    maxContexts,
  }
}

function check(shown: string, name: Name, given: unknown): unknown {
  const option = PROCESS_GROUP_OPTIONS[name]
  // Their defaults depend on nothing.
  if (given === undefined) return option.initial({} as never, {})
  const result = v.safeParse(option.check, given)
  if (!result.success) throw wrong(`${shown}.${name} is ${showValue(given)}; write ${option.accepts}`)
  return result.output
}

function accountOf(
  shown: string, user: string | number | undefined, group: string | number | undefined,
): { uid: number | undefined; gid: number | undefined } {
  const uid = user === undefined ? undefined : number(`${shown}.user`, 'user', user)
  const gid = group === undefined ? (uid === undefined ? undefined : loginGroup(uid)) : number(`${shown}.group`, 'group', group)
  const isOther = (uid !== undefined && uid !== process.getuid?.()) || (gid !== undefined && gid !== process.getgid?.())
  if (isOther && process.getuid?.() !== 0) {
    throw wrong(`${shown} names another user or group, which only root can give to a daemon; start the server as root`)
  }
  return { uid: isOther ? uid : undefined, gid: isOther ? gid : undefined }
}

function number(shown: string, kind: 'user' | 'group', name: string | number): number {
  try {
    return idOf(kind, name)
  } catch (error) {
    throw wrong(`${shown}: ${error instanceof Error ? error.message : String(error)}`, error)
  }
}

/** Looked for now: a daemon that cannot start there would let each request wait until queueTimeout. */
function folderAt(shown: string, given: string): string {
  const folder = path.resolve(given)
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return folder
  throw wrong(`${shown} is ${showValue(given)}, but there is no folder at ${folder}; make it or name another`)
}

function octal(umask: string | number | undefined): number | undefined {
  return typeof umask === 'string' ? Number.parseInt(umask, 8) : umask
}

function absolute({ read = [], write = [] }: { read?: readonly string[]; write?: readonly string[] }): PermissionSpec {
  const all = (list: readonly string[]): readonly string[] => Object.freeze(list.map((file) => path.resolve(file)))
  return Object.freeze({ read: all(read), write: all(write) })
}

function wrong(message: string, cause?: unknown): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', message, cause === undefined ? {} : { cause })
}
