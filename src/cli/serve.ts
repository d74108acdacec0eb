import type { Server } from 'node:http'
import { isIP } from 'node:net'
import { TenantryError } from '../errors.ts'
import type { Logger } from '../ops/logger.ts'
import { LIVE_OPTIONS } from '../resolving.ts'
import { loadConfiguration, watchedPaths, type Configuration } from './config.ts'
import { misspeltVariables, type Settings } from './flags.ts'
import { onSignals } from './signals.ts'
import { capsOf, startReport, urlOf } from './start-report.ts'
import { watchPaths } from './watch.ts'
import { EXIT, type Outcome, type ServedRuntime, type World } from './world.ts'

/** What an operator can mend about an address; anything else is a failure of ours. */
const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there; stop it or choose another --port',
  EACCES: 'this user may not listen there; choose a --port above 1023',
  EADDRNOTAVAIL: 'this machine has no such address; choose another --host',
  EAFNOSUPPORT: 'this machine has no such kind of address; choose another --host',
  ENOTFOUND: 'that name has no address; choose another --host',
  EAI_AGAIN: 'that name has no address; choose another --host',
}

/** Hosts that the log lists in full. */
const MAX_HOSTS = 100

/** Serves until a signal comes or the configuration's AbortSignal ends it. */
export async function serve(target: string | undefined, flags: Settings, world: World): Promise<Outcome> {
  const configuration = await loadConfiguration(target, flags, world.env, world.cwd)
  const logger = world.openLogger(configuration.options.logger ?? false)
  const runtime = world.createRuntime({ ...configuration.options, logger: logger ?? false })
  for (const message of misspeltVariables(world.env)) logger?.warn(message)
  for (const { pattern, message } of runtime.problems())
    logger?.warn({ label: pattern }, `tenant cannot be served: ${message}`)

  let server: Server
  try {
    const { host, port, tls } = configuration
    server = await runtime.listen({ host, port, ...(tls !== undefined && { tls }) })
  } catch (error) {
    await runtime.close()
    const reason = LISTEN_ERRORS[(error as NodeJS.ErrnoException).code ?? '']
    if (reason === undefined) throw error
    const { host, port } = configuration
    const where = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
    world.stderr.write(`tenantry: cannot listen on ${where}: ${reason}\n`)
    return { code: EXIT.listen, stuck: false }
  }
  report(configuration, runtime, server, logger, world)
  return untilEnd(configuration, runtime, server, logger, world, () =>
    reload(target, flags, configuration, runtime, logger, world),
  )
}

function report(
  configuration: Configuration,
  runtime: ServedRuntime,
  server: Server,
  logger: Logger | undefined,
  { version, stderr }: World,
): void {
  const address = server.address()
  const url =
    typeof address === 'object' && address !== null ? urlOf(address.address, address.port, configuration.tls !== undefined) : configuration.host
  const { options } = runtime
  const { obstacle } = runtime.stats().lanes
  const allowed = options.allowedHosts === true ? ['*'] : (options.allowedHosts ?? runtime.patterns() ?? [])
  const fields = {
    url,
    version,
    allowed: allowed.slice(0, MAX_HOSTS),
    allowedCount: allowed.length,
    caps: capsOf(options),
    lane: obstacle === null ? 'handoff' : 'relay',
  }
  logger?.info(fields, 'listening')
  if (options.allowedHosts === true) {
    logger?.warn('any host is allowed: a client chooses the names of groups; the caps are all that bounds them')
  }
  // On stderr, so that stdout is nothing but log lines.
  stderr.write(startReport({ version, url, patterns: runtime.patterns(), problems: runtime.problems(), options, obstacle }))
}

function untilEnd(
  configuration: Configuration,
  runtime: ServedRuntime,
  server: Server,
  logger: Logger | undefined,
  world: World,
  onReload: () => Promise<Configuration | undefined>,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let forced = false
    let finished = false
    let closing: Promise<void> | undefined
    let watched: string[] = []
    let stopWatching = (): void => {}
    const stops = [
      () => stopWatching(),
      onSignals(world.signals, {
        drain(signal) {
          logger?.info({ reason: signal }, 'draining')
          close().catch(reject)
        },
        force(signal, code) {
          forced = true
          logger?.warn({ reason: signal }, 'ending at once')
          runtime.destroy().then(() => finish(code, runtime.stats().zombies > 0), reject)
        },
        reload,
      }),
    ]
    if (configuration.watch) watchAgain(configuration)
    // Closed from elsewhere, by the configuration's AbortSignal: the end is the same.
    server.once('close', () => void close().catch(reject))

    async function reload(): Promise<void> {
      const latest = await onReload()
      if (configuration.watch && latest !== undefined && !finished) watchAgain(latest)
    }

    /** Only for other paths: new watches need a moment, in which a change goes unseen. */
    function watchAgain(latest: Configuration): void {
      const paths = watchedPaths(latest)
      if (JSON.stringify(paths) === JSON.stringify(watched)) return
      stopWatching()
      watched = paths
      stopWatching = watchPaths({
        paths,
        clock: world.clock,
        onChange: () => void reload(),
        onError: (error) => logger?.warn({ err: error }, 'watching failed: send SIGHUP after a change'),
      })
    }

    /** A signal closes, and so does the end of the server that follows: once is enough. */
    function close(): Promise<void> {
      closing ??= closeOnce()
      return closing
    }

    async function closeOnce(): Promise<void> {
      const { zombies } = await runtime.close()
      if (zombies > 0) logger?.error({ zombies }, 'threads could not be ended')
      if (!forced) finish(EXIT.clean, zombies > 0)
    }

    function finish(code: number, stuck: boolean): void {
      if (finished) return
      finished = true
      for (const stop of stops) stop()
      const { handoff, relay } = runtime.stats().lanes
      logger?.info({ lanes: { handoff, relay } }, 'closed')
      resolve({ code, stuck })
    }
  })
}

/** Reads the configuration and the tenants again; resolves with it. A mistake is logged and changes nothing: undefined. */
async function reload(
  target: string | undefined,
  flags: Settings,
  before: Configuration,
  runtime: ServedRuntime,
  logger: Logger | undefined,
  world: World,
): Promise<Configuration | undefined> {
  try {
    const after = await loadConfiguration(target, flags, world.env, world.cwd)
    const change = await runtime.refresh({ ...after.options, logger: false })
    const restart = changedNames(before, after)
    if (restart.length > 0) logger?.warn({ changed: restart }, 'these settings need a restart')
    logger?.info({ ...change }, 'tenants read again')
    for (const { pattern, message } of runtime.problems())
      logger?.warn({ label: pattern }, `tenant cannot be served: ${message}`)
    return after
  } catch (error) {
    logger?.error(
      { err: error, ...(error instanceof TenantryError && { code: error.code }) },
      'reading again failed; nothing was changed',
    )
    return undefined
  }
}

/** What differs from what serves, and cannot take effect. */
function changedNames(before: Configuration, after: Configuration): string[] {
  const settingsOf = ({ options, host, port, watch, tls }: Configuration): Record<string, unknown> => ({ ...options, host, port, watch, tls })
  const [old, fresh] = [settingsOf(before), settingsOf(after)]
  return [...new Set([...Object.keys(old), ...Object.keys(fresh)])].filter((name) => {
    const [was, is] = [old[name], fresh[name]]
    if (LIVE_OPTIONS.has(name)) return false
    // Programs (a function, a logger) are new objects after every import.
    if (typeof was === 'function' || typeof is === 'function' || name === 'logger' || name === 'signal') return false
    return JSON.stringify(was) !== JSON.stringify(is)
  })
}
