import type { Command } from 'commander'
import { isIP } from 'node:net'
import { TenantryError } from '../errors.ts'
import { OPTIONS } from '../option-table.ts'
import type { AskedRequest, ExplainedName, Explanation } from '../explain.ts'
import type { OptionName } from '../options.ts'
import { formatDuration, formatSize, showValue } from '../units.ts'
import { loadConfiguration } from './config.ts'
import type { Settings } from './flags.ts'
import { EXIT, type Outcome, type World } from './world.ts'

export const REQUEST_FLAGS = ['--method', '--header', '--client'] as const

/** What a request has besides its URL, for hooks, functions and trusted proxies that look at it. */
export function addRequestFlags(command: Command): Command {
  return command
    .option('--method <method>', 'its method (default: GET)')
    .option('--header <name: value>', 'a header field; repeat it for more', (value: string, before: string[] | undefined) => {
      return [...(before ?? []), value]
    })
    .option('--client <address>', 'the IP address that it comes from (default: 127.0.0.1)')
}

/** @throws TenantryError ERR_CONFIG for what no request can have */
export function readRequest(url: string, given: Readonly<Record<string, unknown>>): AskedRequest {
  const { method = 'GET', header = [], client = '127.0.0.1' } = given as Record<string, unknown> & { header?: string[] }
  if (!/^[A-Z-]+$/.test(String(method))) throw wrong('--method', method, 'a method such as POST')
  if (isIP(String(client)) === 0) throw wrong('--client', client, 'an IP address')
  const rawHeaders = header.flatMap(readField)
  return { url, method: String(method), rawHeaders, clientAddress: String(client) }
}

/**
 * A header field as it stands on a command line.
 * @throws TenantryError ERR_CONFIG for what is none
 */
export function readField(text: string): [name: string, value: string] {
  const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(text) ?? []
  if (name === undefined || value === undefined) throw wrong('--header', text, "a field such as 'X-Beta: 1'")
  return [name, value]
}

/** Prints how a request would be resolved, and why. Exit code 1 when it would be refused. */
export async function explain(
  target: string | undefined,
  flags: Settings,
  asked: AskedRequest,
  json: boolean,
  world: World,
): Promise<Outcome> {
  const { options, port } = await loadConfiguration(target, flags, world.env, world.cwd)
  const explanation = await world.explain(options, port, asked)
  world.stdout.write(json ? `${JSON.stringify(explanation, null, 2)}\n` : asText(explanation))
  return { code: explanation.refusal === null ? EXIT.clean : EXIT.failed, stuck: false }
}

function asText({ request, ...steps }: Explanation): string {
  const { host, allowedBy, dispatch, tenant, mount, applicationGroup, processGroup, limits, certificate, lane, problem, refusal } = steps
  const { method, url, clientAddress, encrypted } = request
  const rows: (readonly [string, string | undefined])[] = [
    ['request', `${method} ${url} from ${clientAddress}${encrypted ? ' over TLS' : ''}`],
    ['host', host ?? undefined],
    ['allowed by', allowedBy ?? undefined],
    ['dispatch', dispatch === null ? undefined : JSON.stringify(dispatch)],
    ['tenant', tenant === null ? undefined : `${tenant.pattern} in ${tenant.directory}, kind ${tenant.kind}, threads ${tenant.threads}`],
    ['mount', mount === null ? undefined : `${mount.path === '' ? '/' : mount.path} is ${mount.entry}`],
    ['group', applicationGroup === null ? undefined : `${named(applicationGroup, '%{GLOBAL}')}; its key: ${applicationGroup.key}`],
    ['process', processGroup === null ? undefined : named(processGroup, 'this one')],
    ['limits', limits === null ? undefined : Object.entries<number>({ ...limits }).map(([name, value]) => shown(name, value)).join(', ')],
    ['tls', tenant === null ? undefined : certificateText(certificate, encrypted)],
    ['lane', lane === null ? undefined : laneText(lane, encrypted)],
    ['problem', problem === null ? undefined : `${problem.pattern}: ${problem.message}`],
    ['answer', refusal === null ? "the application's" : `${refusal.status} ${refusal.code}: ${refusal.message}`],
  ]
  return rows.flatMap(([title, text]) => (text === undefined ? [] : [`${title.padEnd(10)}  ${text}\n`])).join('')
}

function certificateText(certificate: Explanation['certificate'], encrypted: boolean): string | undefined {
  if (certificate !== null) return `the tenant's own certificate, for ${certificate.hosts} until ${certificate.validTo.slice(0, 10)}`
  return encrypted ? "the server's own certificate; where it has none, the handshake is refused" : undefined
}

function laneText({ name, why }: NonNullable<Explanation['lane']>, encrypted: boolean): string {
  if (why !== null) return `${name}: ${why}`
  return encrypted ? 'hand-off; relay for a client that offers HTTP/2, unless --http2 is off' : 'hand-off'
}

const BY: Readonly<Record<ExplainedName['by'], string>> = {
  global: '%{GLOBAL}',
  server: '%{SERVER}',
  host: '%{HOST}',
  resource: '%{RESOURCE}',
  env: 'an %{ENV:NAME} label',
  literal: 'a literal label',
  function: 'a label function',
  dispatch: 'the dispatch hook',
}

function named({ name, by }: ExplainedName, empty: string): string {
  return `${name === '' ? empty : name}, by ${BY[by]}`
}

function shown(name: string, value: number): string {
  const { kind } = OPTIONS[name as OptionName]
  const text = kind === 'duration' ? formatDuration(value) : kind === 'size' ? formatSize(value) : String(value)
  return `${name} ${value === 0 ? 'off' : text}`
}

function wrong(flag: string, value: unknown, accepts: string): TenantryError {
  return new TenantryError('ERR_CONFIG', `${flag} is ${showValue(value)}; write ${accepts}`)
}
