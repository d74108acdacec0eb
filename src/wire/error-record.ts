import { MAX_ERROR_TEXT } from './frames.ts'
import type { ErrorRecord } from './frames.ts'

/** Whatever was thrown, as plain data; getters of a hostile error may throw, too. */
export function recordOf(thrown: unknown): ErrorRecord {
  const read = (name: string): string | undefined => {
    try {
      const value = (thrown as Record<string, unknown>)[name]
      return typeof value === 'string' ? value : undefined
    } catch {
      return undefined
    }
  }
  return {
    name: read('name') ?? 'Error',
    message: read('message') ?? shown(thrown),
    code: read('code'),
    stack: read('stack'),
  }
}

/** A record that came from elsewhere: named fields only, each cut to a bounded length. */
export function readErrorRecord(value: unknown): ErrorRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const record = value as Partial<Record<keyof ErrorRecord, unknown>>
  const text = (field: unknown): string | undefined =>
    typeof field === 'string' ? field.slice(0, MAX_ERROR_TEXT) : undefined
  return {
    name: text(record.name) ?? 'Error',
    message: text(record.message) ?? '',
    code: text(record.code),
    stack: text(record.stack),
  }
}

/** The error of another thread or process as an Error again, for the log. */
export function restoreError(record: ErrorRecord): Error {
  const error = new Error(record.message)
  error.name = record.name
  if (record.stack !== undefined) error.stack = record.stack
  return Object.assign(error, record.code === undefined ? {} : { code: record.code })
}

function shown(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'it threw an object that cannot be shown'
  }
}
