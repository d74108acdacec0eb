import type { ErrorRecord } from '../wire/frames.ts'

/** An error of another thread or process as an Error again, for the log. */
export function restoreError(record: ErrorRecord): Error {
  const error = new Error(record.message)
  error.name = record.name
  if (record.stack !== undefined) error.stack = record.stack
  return Object.assign(error, record.code === undefined ? {} : { code: record.code })
}
