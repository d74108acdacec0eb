/** A token bucket of births: passed in, never kept here. */
export interface StartRate {
  readonly tokens: number
  /** When `tokens` was right; milliseconds. */
  readonly at: number
}

/** A full bucket: as many births at once as one minute allows. */
export function fullRate(maxStarts: number, now: number): StartRate {
  return { tokens: maxStarts, at: now }
}

/** The bucket at `now`, filled at `maxStarts` a minute and never above `maxStarts`. */
export function refill(rate: StartRate, maxStarts: number, now: number): StartRate {
  const elapsed = Math.max(0, now - rate.at)
  return { tokens: Math.min(maxStarts, rate.tokens + (elapsed * maxStarts) / 60_000), at: Math.max(now, rate.at) }
}

/** The bucket after one birth. */
export function takeOne(rate: StartRate): StartRate {
  return { tokens: Math.max(0, rate.tokens - 1), at: rate.at }
}

/** Milliseconds until `wanted` tokens are there. */
export function untilTokens(rate: StartRate, wanted: number, maxStarts: number): number {
  return Math.max(0, ((wanted - rate.tokens) * 60_000) / maxStarts)
}
