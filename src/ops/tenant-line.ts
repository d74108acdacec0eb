/** A line of a tenant's output, as the fields, level and message of a line in our log. */
export interface TenantLine {
  readonly level: Level
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

const LEVELS: Readonly<Record<string | number, Level>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  fatal: 'fatal',
}

/** Ours: a tenant that writes one of them must not be able to speak for another tenant or for the server. */
const RESERVED = new Set([
  'label',
  'processGroup',
  'contextId',
  'stream',
  'level',
  'time',
  'msg',
  'message',
  'pid',
  'hostname',
  'name',
  'suppressed',
  '__proto__',
])

/** A longer line is text: parsing it would cost the front more than the tenant paid for writing it. */
const MAX_JSON = 16_384

/** Fields of one line that pass through; a logger writes far fewer. */
const MAX_FIELDS = 64

/** JSON objects pass through with their message and level; any other line becomes the message. */
export function readTenantLine(line: string, stream: 'stdout' | 'stderr'): TenantLine {
  const object = parseObject(line)
  if (object === undefined) return { level: stream === 'stderr' ? 'warn' : 'info', fields: {}, message: line }
  const fields: Record<string, unknown> = {}
  let count = 0
  for (const [key, value] of Object.entries(object)) {
    if (RESERVED.has(key)) continue
    if (++count > MAX_FIELDS) break
    fields[key] = value
  }
  const message = [object['msg'], object['message']].find((text) => typeof text === 'string')
  return { level: readLevel(object['level'], stream), fields, message: message ?? '' }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  if (line.length > MAX_JSON || !line.startsWith('{') || !line.endsWith('}')) return undefined
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>
  } catch {
    return undefined
  }
}

function readLevel(level: unknown, stream: 'stdout' | 'stderr'): Level {
  const key = typeof level === 'string' ? level.toLowerCase() : typeof level === 'number' ? level : ''
  if (Object.hasOwn(LEVELS, key)) return LEVELS[key] as Level
  return stream === 'stderr' ? 'warn' : 'info'
}
