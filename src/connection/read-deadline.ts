import { TenantryError } from '../errors.ts'

/** How slowly one stage of a request may come: its head, or its body. */
export interface ReadLimits {
  /** Milliseconds from the stage's start; 0: the stage has no deadline. */
  readonly timeout: number
  /** Milliseconds that received bytes can extend it to; 0: no maximum. */
  readonly maxTimeout: number
  /** Bytes a second: each byte received extends the deadline by its share of a second. 0: none does. */
  readonly minRate: number
}

/**
 * When a stage that began at `startedAt` and has received `bytes` is cut:
 * mod_reqtimeout's rule, D = min(start + timeout + bytes / minRate, start + maxTimeout).
 */
export function readDeadline({ timeout, maxTimeout, minRate }: ReadLimits, startedAt: number, bytes: number): number {
  const extended = timeout + (minRate > 0 ? (bytes * 1000) / minRate : 0)
  return startedAt + (maxTimeout > 0 ? Math.min(extended, maxTimeout) : extended)
}

/** What came too slowly, in figures. `length`: what was announced, where it was. */
export function readTimeout(
  stage: 'head' | 'body',
  { bytes, length, milliseconds, label }: {
    readonly bytes: number
    readonly length?: number | undefined
    readonly milliseconds: number
    readonly label?: string
  },
): TenantryError {
  const whose = label === undefined ? '' : ` for '${label}'`
  const of = length === undefined ? '' : ` of ${length}`
  const message = `The ${stage} of a request${whose} came too slowly: ${bytes}${of} bytes in ${Math.round(milliseconds)} ms`
  return new TenantryError('ERR_READ_TIMEOUT', message, { label })
}
