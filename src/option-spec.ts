import * as v from 'valibot'
import type { DefaultCaps } from './machine.ts'
import type { ResolvedOptions } from './options.ts'
import { DURATION_ACCEPTED, formatSize, parseDuration, parseSize, SIZE_ACCEPTED } from './units.ts'

/** How a value is written and read: what the command needs to make a flag of an option. */
export type OptionKind = 'duration' | 'size' | 'count' | 'text' | 'choice' | 'label' | 'proxy' | 'program'

export interface OptionSpec {
  readonly kind: OptionKind
  /** One sentence; the same stands at the option's type. */
  readonly doc: string
  readonly accepts: string
  /** The default as documentation shows it, and why it is that. */
  readonly standard: string
  readonly reason: string
  /** A scalar is also a flag of `serve`. */
  readonly scalar: boolean
  readonly check: v.GenericSchema
  readonly initial: (caps: DefaultCaps, before: Partial<ResolvedOptions>) => unknown
}

type Text = Pick<OptionSpec, 'doc' | 'reason'>

/** An object, and no list. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isPlainObject(value: unknown): value is object {
  return isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)
}

export function natural(least: number): v.GenericSchema<unknown, number> {
  return v.pipe(v.number(), v.safeInteger(), v.minValue(least))
}

/** A schema from a parse function of units.ts: only whether it throws counts, the message is the option's. */
function parsed(parse: (value: number | string) => number, least: number, zeroToo: boolean): v.GenericSchema {
  return v.pipe(
    v.union([v.number(), v.string()]),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        const value = parse(dataset.value)
        if (value >= least || (zeroToo && value === 0)) return value
      } catch {
        // Reported below, as every other wrong value.
      }
      addIssue()
      return NEVER
    }),
  )
}

export function spec(
  kind: OptionKind,
  check: v.GenericSchema,
  initial: unknown,
  text: Text & { accepts: string },
): OptionSpec {
  return { ...text, kind, check, initial: () => initial, standard: String(initial), scalar: true }
}

export function label(initial: string, text: Text): OptionSpec {
  const check = v.union([v.pipe(v.string(), v.regex(/^[^\p{Cc}]{0,255}$/u)), v.function()])
  const accepts =
    '%{GLOBAL}, %{SERVER}, %{HOST}, %{RESOURCE}, %{ENV:NAME}, a literal, or a function of the request facts'
  return { ...spec('label', check, initial, { ...text, accepts }), standard: initial === '' ? "''" : initial }
}

export function count(
  least: number,
  initial: OptionSpec['initial'],
  standard: string,
  text: Text,
  most: number = Number.MAX_SAFE_INTEGER,
): OptionSpec {
  return {
    ...text,
    kind: 'count',
    check: v.pipe(natural(least), v.maxValue(most)),
    initial,
    standard,
    accepts: most === Number.MAX_SAFE_INTEGER ? `a whole number, ${least} or more` : `a whole number, ${least} to ${most}`,
    scalar: true,
  }
}

export function duration(initial: string, zero: '0 is off' | '0 ends at once' | 'above 0', text: Text): OptionSpec {
  const check = parsed(parseDuration, 1, zero !== 'above 0')
  const standard = initial === '0' ? '0 (off)' : initial
  const accepts = `${DURATION_ACCEPTED}, ${zero}`
  return { ...text, kind: 'duration', check, initial: () => parseDuration(initial), standard, accepts, scalar: true }
}

export function size(initial: OptionSpec['initial'], standard: string, least: number, text: Text): OptionSpec {
  const accepts = `${SIZE_ACCEPTED}, ${least > 0 ? `at least ${formatSize(least)}, ` : ''}0 is off`
  return { ...text, kind: 'size', check: parsed(parseSize, least, true), initial, standard, accepts, scalar: true }
}

export function program(check: v.GenericSchema, text: Text & { accepts: string; standard: string }): OptionSpec {
  return { ...text, kind: 'program', check, initial: () => undefined, scalar: false }
}
