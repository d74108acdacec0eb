import { LRUCache } from 'lru-cache'
import { systemClock, type Clock } from '../clock.ts'
import { ERROR_STATUS } from '../errors.ts'
import { subscribe, type EndReason, type EventPayloads } from '../events.ts'
import { logsRequests, type Logger } from './logger.ts'
import { RateLimit } from './rate-limit.ts'
import { readTenantLine } from './tenant-line.ts'

/** Refusals of one code that are written in ten seconds: enough to see what happens, nothing that fills a disk. */
const REFUSALS = { lines: 10, window: 10_000 }

/** Lines of one context in ten seconds: above what a busy application logs, far below what an endless loop writes. */
const OUTPUT = { lines: 10_000, window: 10_000 }

/** Child loggers kept; a context that writes again after it was forgotten gets a new one. */
const MAX_CHILDREN = 1000

/** Ends that somebody should look into. */
const BAD_ENDS: ReadonlySet<EndReason> = new Set(['startup', 'deadlock', 'memory', 'cpu', 'crash', 'exit', 'protocol'])

/** Loggers that listen already, with the number of their listeners. */
const active = new Map<Logger, { users: number; stop: () => void }>()

/**
 * Writes what happens to a pino logger, until the returned function is called.
 *
 * The channels belong to the process: with several runtimes in it, every logger sees all of them.
 * A logger that is started twice still writes each line once.
 */
export function startLog(logger: Logger, clock: Clock = systemClock): () => void {
  let entry = active.get(logger)
  if (entry === undefined) {
    entry = { users: 0, stop: listen(logger, clock) }
    active.set(logger, entry)
  }
  const mine = entry
  mine.users++
  let stopped = false
  return () => {
    if (stopped) return
    stopped = true
    if (--mine.users > 0) return
    active.delete(logger)
    mine.stop()
  }
}

function listen(logger: Logger, clock: Clock): () => void {
  const refusals = new RateLimit({
    ...REFUSALS,
    clock,
    onSuppressed: (code, suppressed) => logger.warn({ code, suppressed }, 'more of the same were not logged'),
  })
  const children = new LRUCache<number, Logger>({ max: MAX_CHILDREN })
  const output = new RateLimit({
    ...OUTPUT,
    clock,
    onSuppressed: (contextId, suppressed) =>
      logger.warn(
        { ...children.get(Number(contextId))?.bindings(), suppressed },
        'more output of this tenant was not logged',
      ),
  })

  function childOf({ contextId, label, processGroup }: EventPayloads['tenantry:context:output']): Logger {
    let child = children.get(contextId)
    if (child === undefined) {
      child = logger.child({ label, processGroup, contextId })
      children.set(contextId, child)
    }
    return child
  }

  const stops = [
    subscribe('tenantry:group:state', ({ to, from, ...fields }) => logger.info({ ...fields, from, to }, `group ${to}`)),
    subscribe('tenantry:context:start', (fields) => logger.debug(fields, 'context starting')),
    subscribe('tenantry:context:ready', (fields) => {
      logger.info({ ...fields, milliseconds: Math.round(fields.milliseconds) }, 'context ready')
    }),
    subscribe('tenantry:context:exit', ({ error, ...fields }) => {
      const finished = fields.reason === 'exit' && fields.exitCode === 0
      if (error === undefined && (finished || !BAD_ENDS.has(fields.reason))) return logger.info(fields, 'context ended')
      logger.error({ ...fields, ...(error && { err: error }) }, `context ended: ${fields.reason}`)
    }),
    subscribe('tenantry:daemon:state', ({ from, to, error, ...fields }) => {
      const isBad = to === 'exited' && BAD_ENDS.has(fields.reason ?? 'exit')
      logger[isBad ? 'error' : 'info']({ ...fields, from, to, ...(error && { err: error }) }, `daemon ${to}`)
    }),
    subscribe('tenantry:daemon:output', ({ line, ...fields }) => {
      // V8's last words have empty lines between them.
      if (line.trim() !== '' && output.pass('daemon')) logger.warn(fields, line)
    }),
    subscribe('tenantry:evict', (fields) => logger.info(fields, 'group evicted')),
    subscribe('tenantry:warning', ({ message, ...fields }) => {
      if (refusals.pass('warning')) logger.warn(fields, message)
    }),
    subscribe('tenantry:admission:refuse', ({ message, ...fields }) => {
      if (refusals.pass(knownCode(fields.code))) logger.warn(fields, message)
    }),
    subscribe('tenantry:request:error', ({ error, ...fields }) => {
      if (refusals.pass(knownCode(fields.code))) logger.warn({ ...fields, err: error }, 'request failed')
    }),
    subscribe('tenantry:context:output', (payload) => {
      const child = childOf(payload)
      const { level, fields, message } = readTenantLine(payload.line, payload.stream)
      if (child.isLevelEnabled(level) && output.pass(String(payload.contextId))) {
        child[level]({ ...fields, stream: payload.stream }, message)
      }
    }),
  ]
  // A line for each request only where somebody asked for it: listening costs every request.
  if (logsRequests(logger)) {
    stops.push(subscribe('tenantry:request:finish', (fields) => logger.debug(fields, 'request')))
  }
  return () => {
    for (const stop of stops) stop()
    refusals.flush()
    output.flush()
  }
}

/** The keys of the limit are the codes there are, whatever an event carries. */
function knownCode(code: string): string {
  return Object.hasOwn(ERROR_STATUS, code) ? code : 'other'
}
