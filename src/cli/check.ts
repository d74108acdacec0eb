import { TenantryError } from '../errors.ts'
import { OPTION_NAMES, OPTIONS } from '../option-table.ts'
import type { SourceDescription, TenantDescription } from '../describe.ts'
import { formatDuration, formatSize } from '../units.ts'
import { loadConfiguration } from './config.ts'
import type { Settings } from './flags.ts'
import { capsOf, describeCaps } from './start-report.ts'
import { EXIT, type Outcome, type World } from './world.ts'

/** Prints what `serve` would work with, and starts nothing. Exit code 2 when something in it is wrong. */
export async function check(
  target: string | undefined,
  flags: Settings,
  json: boolean,
  world: World,
): Promise<Outcome> {
  const { options, host, port, tls } = await loadConfiguration(target, flags, world.env, world.cwd)
  const found = await world.describe(options, port, tls)
  const { problems, tenants } = found
  world.stdout.write(json ? `${JSON.stringify(asJson(found, host, port), null, 2)}\n` : asText(found))
  for (const { pattern, message } of problems) world.stderr.write(`tenantry: ${pattern}: ${message}\n`)
  if (tenants?.length === 0 && problems.length === 0) throw new TenantryError('ERR_CONFIG', 'no tenants were found')
  return { code: problems.length > 0 ? EXIT.usage : EXIT.clean, stuck: false }
}

/** Scalars only: a function or a logger has no text. */
function asJson({ options, tenants, problems }: SourceDescription, host: string, port: number): object {
  const scalars = OPTION_NAMES.filter((name) => OPTIONS[name].scalar && typeof options[name] !== 'function')
  return {
    host,
    port,
    tenants: tenants ?? null,
    problems,
    allowedHosts: options.allowedHosts ?? null,
    options: Object.fromEntries(scalars.map((name) => [name, options[name]])),
  }
}

function asText({ options, tenants }: SourceDescription): string {
  const caps = `caps: ${describeCaps(capsOf(options))}\n`
  if (tenants === undefined) return `tenants are named by a function; it is asked when a request comes\n${caps}`
  // Without TLS, most have none.
  const certified = tenants.some(({ certificate }) => certificate !== null)
  const head = ['HOST', 'GROUP', 'PROCESS', 'KIND', 'THREADS', 'MOUNT', 'MEMORY', 'IDLE', 'HANDLER', ...(certified ? ['CERTIFICATE'] : []), 'ENTRY']
  const rows = tenants.flatMap((tenant) => rowsOf(tenant, certified))
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] as string).length)),
  )
  const text = [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  )
  return `${text.join('\n')}\n\n${tenants.length} ${tenants.length === 1 ? 'tenant' : 'tenants'}; ${caps}`
}

/** One row for each mount; what is the tenant's stands in the first. */
function rowsOf({ pattern, kind, threads, mounts, limits, certificate }: TenantDescription, certified: boolean): string[][] {
  return mounts.map(({ path, entry, applicationGroup, processGroup }, index) => {
    const first = (text: string): string => (index === 0 ? text : '')
    return [
      first(pattern),
      applicationGroup === '' ? '%{GLOBAL}' : applicationGroup,
      processGroup === '' ? '-' : processGroup,
      first(kind),
      first(String(threads)),
      path === '' ? '/' : path,
      first(orOff(limits.memoryLimit, formatSize)),
      first(orOff(limits.idleTimeout, formatDuration)),
      first(orOff(limits.handlerTimeout, formatDuration)),
      ...(certified ? [first(certificate === null ? '-' : `until ${certificate.validTo.slice(0, 10)}`)] : []),
      entry,
    ]
  })
}

function orOff(value: number, format: (value: number) => string): string {
  return value === 0 ? 'off' : format(value)
}
