import type { Command } from 'commander'
import { TenantryError } from '../errors.ts'
import { type OptionKind } from '../option-spec.ts'
import { OPTION_NAMES, OPTIONS } from '../option-table.ts'
import { checkOption, type OptionName } from '../options.ts'
import { MAX_PROCESSES } from '../process-group-options.ts'
import { suggestion } from '../nearest.ts'
import { showValue } from '../units.ts'

/** Settings of the command itself, beside the runtime's options. */
export interface CommandSettings {
  readonly host: string
  readonly port: number
  readonly watch: boolean
  readonly processes: number
  readonly logLevel: string
  readonly tls: boolean
  readonly tlsCert: string | undefined
  readonly tlsKey: string | undefined
  readonly http2: boolean
}

export type SettingName = OptionName | keyof CommandSettings

/** Checked values, from one place: a command line, the environment or a file. */
export type Settings = { readonly [name in SettingName]?: unknown }

export interface Flag {
  readonly name: SettingName
  /** `--max-groups` */
  readonly long: string
  /** `TENANTRY_MAX_GROUPS` */
  readonly variable: string
  /** `<number>`, or nothing for a switch. */
  readonly argument: string
  /** May be given several times; its value is a list. */
  readonly many?: true
  readonly doc: string
  readonly standard: string
  /** Checks a value that is no text any more; `shown` is how its writer calls it. */
  readonly check: (value: unknown, shown: string) => unknown
  /** Makes of text what `check` expects. */
  readonly fromText: (text: string) => unknown
}

const ARGUMENTS: Readonly<Record<OptionKind, string>> = {
  duration: '<duration>',
  size: '<size>',
  count: '<number>',
  text: '<text>',
  choice: '<choice>',
  label: '<label>',
  proxy: '<peers>',
  program: '<value>',
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Where the command's default is not that of the library. */
const COMMAND_DEFAULTS: Readonly<Partial<Record<OptionName, string>>> = { processGroup: 'the one that --processes makes' }

const optionFlags = OPTION_NAMES.filter((name) => OPTIONS[name].scalar).map((name): Flag => {
  const { kind, doc, standard } = OPTIONS[name]
  return {
    ...names(name, kebab(name)),
    argument: ARGUMENTS[kind],
    doc,
    standard: COMMAND_DEFAULTS[name] ?? standard,
    check: (value, shown) => checkOption(name, value, shown),
    fromText: kind === 'count' ? toNumber : kind === 'proxy' ? toProxies : (text) => text,
  }
})

const commandFlags: readonly Flag[] = [
  {
    ...names('host', 'host'),
    argument: '<address>',
    doc: 'The address to listen on.',
    standard: '127.0.0.1',
    check: checkHost,
    fromText: (text) => text,
  },
  {
    ...names('port', 'port'),
    argument: '<number>',
    doc: 'The port to listen on; 0 takes a free one.',
    standard: '8080',
    check: checkPort,
    fromText: toNumber,
  },
  {
    ...names('allowedHosts', 'allow'),
    argument: '<host>',
    many: true,
    doc: "A host that is answered, such as '*.example.com'; '*' allows any. Repeat it for more.",
    standard: OPTIONS.allowedHosts.standard,
    fromText: (text) => text.split(',').map((host) => host.trim()),
    check: (value, shown) =>
      checkOption('allowedHosts', Array.isArray(value) && value.includes('*') ? true : value, shown),
  },
  {
    ...names('logLevel', 'log-level'),
    argument: '<level>',
    doc: `The least level that is logged: ${LEVELS.join(', ')}.`,
    standard: 'info',
    check: checkLevel,
    fromText: (text) => text,
  },
  {
    ...names('watch', 'watch'),
    argument: '',
    doc: 'Notice new, changed and removed tenants while serving.',
    standard: 'off',
    check: checkSwitch,
    fromText: toSwitch,
  },
  {
    ...names('tls', 'tls'),
    argument: '',
    doc: "Speak HTTPS, with the tenants' own certificates.",
    standard: 'off, unless tlsCert is set',
    check: checkSwitch,
    fromText: toSwitch,
  },
  {
    ...names('tlsCert', 'tls-cert'),
    argument: '<file>',
    doc: 'A PEM certificate with its chain, for hosts whose tenants have none of their own.',
    standard: 'none: such a client is refused',
    check: checkPem,
    fromText: (text) => text,
  },
  {
    ...names('tlsKey', 'tls-key'),
    argument: '<file>',
    doc: 'The key of that certificate, in PEM.',
    standard: 'none',
    check: checkPem,
    fromText: (text) => text,
  },
  {
    ...names('http2', 'http2'),
    argument: '<on|off>',
    doc: 'Whether HTTP/2 is offered over TLS, beside HTTP/1.1.',
    standard: 'on',
    check: checkOnOff,
    fromText: toSwitch,
  },
  {
    ...names('processes', 'processes'),
    argument: '<number>',
    doc: 'How many daemons share the tenants; 0 runs them in threads of the command itself.',
    standard: '1 (0 on Windows), unless processGroup or processGroups is set',
    check: checkProcesses,
    fromText: toNumber,
  },
]

/** Every flag of `serve`: the command's own, then one for each scalar option of the runtime. */
export const FLAGS: readonly Flag[] = [...commandFlags, ...optionFlags]

const SETTING_NAMES: ReadonlySet<string> = new Set<SettingName>([...OPTION_NAMES, ...FLAGS.map(({ name }) => name)])

export function addFlags(command: Command): Command {
  for (const { long, argument, many, doc, standard } of FLAGS) {
    const [usage, text] = [`${long} ${argument}`.trim(), `${doc} (default: ${standard})`]
    // Not commander's own lists, which take the folder that follows for one more value.
    if (many) command.option(usage, text, (value: string, before: string[] | undefined) => [...(before ?? []), value])
    else command.option(usage, text)
  }
  return command
}

/** What stood on the command line; commander gives each value under the camelCase of its flag. */
export function readFlags(given: Readonly<Record<string, unknown>>): Settings {
  const settings: Record<string, unknown> = {}
  for (const flag of FLAGS) {
    const value = given[camel(flag.long)]
    if (value === undefined) continue
    settings[flag.name] = flag.check(typeof value === 'string' ? flag.fromText(value) : value, flag.long)
  }
  return settings
}

/** `TENANTRY_PORT` and the like. An empty variable counts as not set, as in most tools. */
export function readEnvironment(env: NodeJS.ProcessEnv): Settings {
  const settings: Record<string, unknown> = {}
  for (const flag of FLAGS) {
    const text = env[flag.variable]
    if (text === undefined || text === '') continue
    settings[flag.name] = flag.check(flag.fromText(text), flag.variable)
  }
  return settings
}

/** Variables that look like slips of ours: they are ignored, so an operator should hear of them. */
export function misspeltVariables(env: NodeJS.ProcessEnv): string[] {
  const known = FLAGS.map(({ variable }) => variable)
  return Object.keys(env)
    .filter((name) => name.startsWith('TENANTRY_') && !known.includes(name))
    .flatMap((name) => {
      const hint = suggestion(name, known)
      return hint === '' ? [] : `the environment variable ${showValue(name)} is unknown${hint}`
    })
}

/** What a configuration file says: the command's settings and any option, under their camelCase names. */
export function readSettings(values: object, file: string): Settings {
  const settings: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(values)) {
    if (!SETTING_NAMES.has(name)) {
      throw new TenantryError(
        'ERR_CONFIG',
        `${file}: ${showValue(name)} is not a setting${suggestion(name, SETTING_NAMES)}`,
      )
    }
    if (value === undefined) continue
    const own = commandFlags.find((flag) => flag.name === name)
    const shown = `${file}: ${name}`
    settings[name] = own === undefined ? checkOption(name as OptionName, value, shown) : own.check(value, shown)
  }
  return settings
}

function names(name: SettingName, flag: string): Pick<Flag, 'name' | 'long' | 'variable'> {
  return { name, long: `--${flag}`, variable: `TENANTRY_${flag.replaceAll('-', '_').toUpperCase()}` }
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function camel(long: string): string {
  return long.slice(2).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

/** Text that is no number stays text, so that the check shows it as it was written. */
function toNumber(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text
}

function toProxies(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  const hops = toNumber(text)
  return typeof hops === 'number' ? hops : text.split(',').map((peer) => peer.trim())
}

function toSwitch(text: string): unknown {
  return ['1', 'true'].includes(text) ? true : ['0', 'false'].includes(text) ? false : text
}

function checkHost(value: unknown, shown: string): string {
  if (typeof value === 'string' && /^[\w.:%-]{1,255}$/.test(value)) return value
  throw refusal(shown, value, 'an address such as 127.0.0.1, :: or localhost')
}

function checkPort(value: unknown, shown: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535) return value as number
  throw refusal(shown, value, 'a whole number from 0 to 65535')
}

function checkProcesses(value: unknown, shown: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_PROCESSES) return value as number
  throw refusal(shown, value, `a whole number from 0 to ${MAX_PROCESSES}`)
}

function checkLevel(value: unknown, shown: string): string {
  if (typeof value === 'string' && LEVELS.includes(value)) return value
  throw refusal(shown, value, LEVELS.join(', '))
}

function checkSwitch(value: unknown, shown: string): boolean {
  if (typeof value === 'boolean') return value
  throw refusal(shown, value, 'true or false')
}

function checkPem(value: unknown, shown: string): string {
  if (typeof value === 'string' && value !== '') return value
  // Not shown: it may be a key.
  throw new TenantryError('ERR_OPTION_INVALID', `${shown} is no text; write the path of a PEM file`)
}

function checkOnOff(value: unknown, shown: string): boolean {
  if (typeof value === 'boolean') return value
  if (value === 'on' || value === 'off') return value === 'on'
  throw refusal(shown, value, 'on or off')
}

function refusal(shown: string, value: unknown, accepts: string): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', `${shown} is ${showValue(value)}; write ${accepts}`)
}
