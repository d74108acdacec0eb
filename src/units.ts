import { inspect } from 'node:util'
import bytes from 'bytes'
import ms from 'ms'
import { TenantryError } from './errors.ts'

/** What a duration may look like, for messages and docs. */
export const DURATION_ACCEPTED = `whole milliseconds, or text such as '250ms', '30s', '10m', '2h' or '7d'; 0 to '24d'`

/** What a size may look like, for messages and docs. */
export const SIZE_ACCEPTED = `whole bytes, or text such as '512kb', '64mb' or '2gb' (1kb is 1024 bytes)`

/** A longer timer overflows in Node and fires at once. */
const MAX_DURATION = ms('24d')

// Lower case only: 'M' would be minutes to one reader and months or megabytes to another.
const DURATION_TEXT = /^(\d{1,12}(?:\.\d{1,6})?) ?(ms|s|m|h|d)?$/
const SIZE_TEXT = /^(\d{1,16}(?:\.\d{1,6})?) ?(b|kb|mb|gb|tb|kib|mib|gib|tib)?$/

/**
 * A duration in milliseconds, from a number of milliseconds or text with a unit.
 * Stricter than `ms`, which reads 'bogus' as undefined and '1M' as a minute.
 * @throws TenantryError ERR_OPTION_INVALID, saying what is accepted
 */
export function parseDuration(value: number | string): number {
  const parsed = typeof value === 'string' ? readText(value, DURATION_TEXT, unitOfTime) : value
  if (!isWhole(parsed) || parsed > MAX_DURATION) throw refusal(value, 'a duration', DURATION_ACCEPTED)
  return parsed
}

/**
 * A size in bytes, from a number of bytes or text with a unit; '1MiB' and '1mb' are both 1048576.
 * Stricter than `bytes`, which reads '1MiB' and '1M' as one byte.
 * @throws TenantryError ERR_OPTION_INVALID, saying what is accepted
 */
export function parseSize(value: number | string): number {
  const parsed = typeof value === 'string' ? readText(value.toLowerCase(), SIZE_TEXT, unitOfSize) : value
  if (!isWhole(parsed)) throw refusal(value, 'a size', SIZE_ACCEPTED)
  return parsed
}

/** The shortest text that parseDuration reads back as the same number: 600000 → '10m'. */
export function formatDuration(milliseconds: number): string {
  return inLargestUnit(milliseconds, ['d', 'h', 'm', 's', 'ms'], unitOfTime)
}

/** The shortest text that parseSize reads back as the same number: 268435456 → '256mb'. */
export function formatSize(size: number): string {
  return inLargestUnit(size, ['gb', 'mb', 'kb', 'b'], unitOfSize)
}

/** A value as it stands in a message: quoted where it is text, and never long. */
export function showValue(value: unknown): string {
  const text = inspect(value, { depth: 0, maxArrayLength: 5, maxStringLength: 60, breakLength: Infinity })
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`
}

function readText(text: string, pattern: RegExp, unitOf: (unit: string) => number): number {
  const match = pattern.exec(text)
  if (match === null) return Number.NaN
  const product = Number(match[1]) * unitOf(match[2] ?? '')
  const whole = Math.round(product)
  // '1.005s' is whole but 1.005 × 1000 is not, in binary; '0.5ms' is no whole number at all.
  return Math.abs(product - whole) < 1e-6 ? whole : Number.NaN
}

function unitOfTime(unit: string): number {
  return unit === '' ? 1 : ms(`1${unit as 'ms' | 's' | 'm' | 'h' | 'd'}`)
}

function unitOfSize(unit: string): number {
  return bytes.parse(`1${unit.replace('i', '')}`) as number
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function inLargestUnit(value: number, units: readonly string[], unitOf: (unit: string) => number): string {
  if (value === 0) return '0'
  const unit = units.find((candidate) => value % unitOf(candidate) === 0) ?? ''
  return `${value / unitOf(unit)}${unit}`
}

function refusal(value: unknown, what: string, accepted: string): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', `${showValue(value)} is not ${what}: write ${accepted}`)
}
