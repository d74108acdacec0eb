import { pino, stdSerializers, stdTimeFunctions, type Logger, type LoggerOptions } from 'pino'
import pretty from 'pino-pretty'

/** A pino logger, pino's own options for one, or false for no log. */
export type LoggerOption = Logger | LoggerOptions | false

export type { Logger }

/** The options of the log that you get without asking. */
export const DEFAULT_LOGGER: LoggerOptions = Object.freeze({ level: 'info' })

/** Made once, so that several runtimes in one process share one log and no line stands in it twice. */
let shared: Logger | undefined

/** The logger that an option means; undefined for none. A logger of yours is used as it is. */
export function openLogger(option: LoggerOption): Logger | undefined {
  if (option === false) return undefined
  if (isLogger(option)) return option
  if (option === DEFAULT_LOGGER) return (shared ??= createLogger(option, process.stdout, process.env))
  return createLogger(option, process.stdout, process.env)
}

/** Whether it has a line for each request. Opens nothing. */
export function logsRequests(option: LoggerOption): boolean {
  if (option === false) return false
  return (isLogger(option) ? option : pino(option, { write: () => {} })).isLevelEnabled('debug')
}

/**
 * A logger on a stream: readable lines on a terminal, JSON otherwise.
 * Colours unless NO_COLOR is set (https://no-color.org: to anything but the empty text).
 */
export function createLogger(
  options: LoggerOptions,
  stream: { readonly isTTY?: boolean; readonly fd?: number },
  env: NodeJS.ProcessEnv,
): Logger {
  // ISO time: a line is read by people and by machines, and both know it.
  const settings = { base: null, timestamp: stdTimeFunctions.isoTime, serializers: { err: errorFields }, ...options }
  // Pino's own destination: NOT the stream, which buffers without a bound while its reader is slow.
  if (stream.isTTY !== true) return pino(settings, pino.destination({ dest: stream.fd ?? 1, sync: true }))
  return pino(
    settings,
    pretty({
      destination: stream.fd ?? 1,
      sync: true,
      colorize: !env['NO_COLOR'],
      translateTime: 'SYS:HH:MM:ss.l',
      singleLine: true,
    }),
  )
}

/** Pino's own fields of an error, but for a message that names its cause already: pino would say it a second time. */
function errorFields(error: Error): unknown {
  if (!(error instanceof Error)) return error
  return Object.assign(stdSerializers.err(error), { message: error.message })
}

function isLogger(option: object): option is Logger {
  return 'child' in option && typeof option.child === 'function' && 'warn' in option
}
