import { TenantryError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { parseAuthority } from './host.ts'
import { quoted } from './quoted.ts'
import type { GroupName, Label, LabelKind, LabelSettings, LabelSpec, RequestFacts } from './request-facts.ts'

/** The longest name of a group that a literal, a variable or a function may give, in characters. */
export const MAX_LABEL = 255

const KNOWN = ['%{GLOBAL}', '%{SERVER}', '%{HOST}', '%{RESOURCE}', '%{ENV:NAME}'] as const

const GLOBAL: GroupName = Object.freeze({ key: 'global:', shown: '' })

type Expand = (facts: RequestFacts, mount: string) => GroupName

/**
 * Checks a label once, so that it expands without checks: mod_wsgi's algorithm
 * for `%{GLOBAL}` (or ''), `%{SERVER}`, `%{HOST}`, `%{RESOURCE}`, `%{ENV:NAME}`
 * and literals, and a function of the facts.
 *
 * Throws ERR_OPTION_INVALID for a label that is unknown or misspelt. The label
 * throws ERR_LABEL_INVALID when a variable or a function gives no usable name:
 * a value is never expanded again, so nothing but configuration reaches `%{GLOBAL}`.
 */
export function createLabel(spec: LabelSpec, settings: LabelSettings): Label {
  if (typeof spec === 'function') return byFunction(spec)
  if (spec === '' || spec === '%{GLOBAL}') return label('global', () => GLOBAL)
  if (!spec.startsWith('%')) return literal(spec)
  if (spec === '%{SERVER}') {
    const { name, port } = serverOf(settings)
    return label('server', ofHost('server', () => name, port))
  }
  if (spec === '%{HOST}') {
    const { name, port } = serverOf(settings)
    return label('host', ofHost('host', (facts) => facts.host ?? name, port))
  }
  if (spec === '%{RESOURCE}') {
    const { name, port } = serverOf(settings)
    return label('resource', ofHost('resource', () => name, port))
  }
  const variable = /^%\{ENV:([^\s{}%]+)\}$/.exec(spec)?.[1]
  if (variable !== undefined) return byVariable(variable, settings)
  throw unknown(spec)
}

function label(kind: LabelKind, expand: Expand): Label {
  return Object.freeze(Object.assign(expand, { kind, perMount: kind === 'resource' }))
}

/** The key starts with the kind: `Host: shop` never joins the group of the literal `shop`. */
function named(kind: LabelKind, shown: string): GroupName {
  return { key: `${kind}:${shown}`, shown }
}

/** A name made of a host and a port, and with the mount for `%{RESOURCE}`. */
function ofHost(kind: LabelKind, host: (facts: RequestFacts) => string, port: (facts: RequestFacts) => number): Expand {
  return (facts, mount) => {
    const text = withPort(host(facts), port(facts))
    return named(kind, kind === 'resource' ? `${text}|${mount}` : text)
  }
}

function literal(spec: string): Label {
  const wrong = fault(spec)
  if (wrong !== undefined) throw new TenantryError('ERR_OPTION_INVALID', `the label ${quoted(spec)} ${wrong}`)
  const name = Object.freeze(named('literal', spec))
  return label('literal', () => name)
}

function byVariable(variable: string, { requestVariables, environment }: LabelSettings): Label {
  const what = `the label %{ENV:${variable}}`
  return label('env', (facts) => {
    const ofRequest = requestVariables === undefined ? undefined : called(() => requestVariables(facts)[variable], what)
    return named('env', usable(ofRequest ?? environment[variable], what))
  })
}

function byFunction(spec: (facts: RequestFacts) => string): Label {
  const what = 'the label function'
  return label('function', (facts) => named('function', usable(called(() => spec(facts), what), what)))
}

/**
 * A name that a hook gave as text: under the key of a function's, and never expanded, so that it cannot be `%{GLOBAL}`.
 * @throws TenantryError ERR_LABEL_INVALID
 */
export function givenName(value: unknown, what: string): GroupName {
  return named('function', usable(value, what))
}

function called<T>(run: () => T, what: string): T {
  try {
    return run()
  } catch (error) {
    throw new TenantryError('ERR_LABEL_INVALID', `${what} threw an error`, { cause: error })
  }
}

/** A value of request time, refused unless it can be a group's name. */
function usable(value: unknown, what: string): string {
  if (typeof value !== 'string') {
    const got = value === undefined ? 'nothing' : `a ${typeof value}`
    throw new TenantryError('ERR_LABEL_INVALID', `${what} gave ${got}, not text`)
  }
  const wrong = fault(value)
  if (wrong !== undefined) throw new TenantryError('ERR_LABEL_INVALID', `${what} gave ${quoted(value)}, which ${wrong}`)
  return value
}

/** What keeps a text from being a group's name: it stands in logs, in headers and in the environment of a context. */
function fault(text: string): string | undefined {
  if (text === '') return 'is empty: only configuration can name %{GLOBAL}'
  if (text.length > MAX_LABEL) return `is longer than ${MAX_LABEL} characters`
  // eslint-disable-next-line no-control-regex
  if (/[\0-\x1f\x7f-\x9f\u2028\u2029]/.test(text)) return 'has a control character in it'
  return undefined
}

function unknown(spec: string): TenantryError {
  // Compared without the braces, so that a missing one is no slip.
  const word = nearest(spec.replace(/[%{}]/g, ''), ['GLOBAL', 'SERVER', 'HOST', 'RESOURCE'])
  const hint = /^%\{?ENV/i.test(spec) ? '%{ENV:NAME}' : word && `%{${word}}`
  const known = `known: ${KNOWN.join(', ')}, or a literal`
  const meant = hint === undefined ? '' : `; the nearest is ${hint}`
  return new TenantryError('ERR_OPTION_INVALID', `the label ${quoted(spec)} is unknown${meant} (${known})`)
}

interface ServerName {
  /** As configured, case kept, its own port split off. */
  readonly name: string
  /** The port that a name made from this request may carry. */
  readonly port: (facts: RequestFacts) => number
}

function serverOf({ serverName, labelPort }: LabelSettings): ServerName {
  const authority = parseAuthority(serverName)
  if (authority === undefined) {
    throw new TenantryError('ERR_OPTION_INVALID',
      `serverName: ${quoted(serverName)} is not a host, with or without a port`)
  }
  const own = authority.port
  const name = own === undefined ? serverName : serverName.slice(0, serverName.lastIndexOf(':'))
  switch (labelPort) {
    case 'accepting':
      return { name, port: (facts) => own ?? facts.acceptingPort }
    case 'server':
      return { name, port: () => own ?? 80 }
    case 'host-or-accepting':
      return { name, port: (facts) => facts.hostPort ?? facts.acceptingPort }
    case 'host':
      return { name, port: (facts) => facts.hostPort ?? own ?? 80 }
    default:
      throw new TenantryError('ERR_OPTION_INVALID', `labelPort: ${quoted(String(labelPort))} is not one of `
        + 'accepting, server, host-or-accepting, host')
  }
}

/** Apache leaves out 80 and 443, whatever the scheme. */
function withPort(name: string, port: number): string {
  return port === 80 || port === 443 ? name : `${name}:${port}`
}
