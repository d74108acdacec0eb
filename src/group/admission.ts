import type { ErrorCode } from '../errors.ts'
import { refill, untilTokens } from './start-rate.ts'
import type { StartRate } from './start-rate.ts'

/** Caps over all groups. Counts; 0 is off for maxGroupsPerPattern, maxStarts and maxStarting. */
export interface AdmissionLimits {
  readonly maxGroups: number
  /** Starting, serving and draining contexts all count, and zombies: they hold a thread each. */
  readonly maxContexts: number
  /** Groups that one wildcard, fallback or function may have. */
  readonly maxGroupsPerPattern: number
  /** Births a minute. */
  readonly maxStarts: number
  /** Births at once; a further one waits in its group's queue. */
  readonly maxStarting: number
  /** Past so many zombies nothing is born any more. */
  readonly maxZombies: number
}

/** What admission looks at in the group of the request. */
export interface GroupView {
  readonly state: 'starting' | 'serving' | 'failed' | 'draining' | 'closed'
  readonly inFlight: number
  readonly queued: number
  /** When a failed group may start again. */
  readonly retryAt: number
  readonly maxInFlight: number
  readonly maxQueue: number
}

/** What admission looks at in the whole house. */
export interface Census {
  readonly draining: boolean
  /** Groups in the table. */
  readonly groups: number
  /** Contexts that hold a thread, zombies among them. */
  readonly contexts: number
  /** Of these, threads that could not be ended. */
  readonly zombies: number
  /** The process holds more than maxMemory. */
  readonly strained: boolean
  /** Of the contexts, told to end: their places will be free soon. */
  readonly ending: number
  /** Births that wait for a place or for maxStarting. */
  readonly pending: number
  /** Births under way. */
  readonly starting: number
  readonly rate: StartRate
}

export interface AdmissionInput {
  readonly census: Census
  readonly group: GroupView | undefined
  /** Groups under the rule that named the tenant; 0 when an exact host named it, for no cap counts those. */
  readonly patternGroups: number
  readonly exact: boolean
}

export interface Refusal {
  readonly do: 'refuse'
  readonly code: ErrorCode
  readonly message: string
  /** Seconds. */
  readonly retryAfter: number
}

/** Which idle group must go first. */
export interface VictimScope {
  /** Only one under the same pattern. */
  readonly samePattern: boolean
  /** Only one that holds a context. */
  readonly withContext: boolean
}

export type Decision =
  | { readonly do: 'use' }
  | { readonly do: 'wait' }
  | { readonly do: 'create' }
  /** `otherwise`: the answer when every group in the scope is busy. */
  | { readonly do: 'evict'; readonly victim: VictimScope; readonly otherwise: Refusal }
  | Refusal

const USE: Decision = { do: 'use' }
const WAIT: Decision = { do: 'wait' }
const CREATE: Decision = { do: 'create' }

/** Seconds that a client waits for a place: about as long as a page takes. */
const PLACE_RETRY = 5

/** Seconds that a client waits for a server that has to be restarted. */
const RESTART_RETRY = 30

/** The share of births kept for exact hosts, so that a wildcard's flood cannot keep them from restarting. */
const RESERVED_STARTS = 0.25

/** May this request use, wait for, or create its group? Pure; cheapest check first. */
export function decide(input: AdmissionInput, limits: AdmissionLimits, now: number): Decision {
  const { census, group } = input
  if (census.draining) return refuse('ERR_DRAINING', 'The server is closing', 1)
  if (group !== undefined) {
    if (group.state === 'serving') return decideServing(group)
    if (group.state === 'starting') return decideQueue(group)
    if (now < group.retryAt) {
      const seconds = toSeconds(group.retryAt - now)
      return refuse('ERR_GROUP_BACKOFF', `The application failed; its next start is in ${seconds} s`, seconds)
    }
  }
  return decideBirth(input, limits, now)
}

function decideServing(group: GroupView): Decision {
  if (group.maxInFlight === 0 || group.inFlight < group.maxInFlight) return USE
  return decideQueue(group)
}

function decideQueue(group: GroupView): Decision {
  if (group.queued < group.maxQueue) return WAIT
  return refuse('ERR_QUEUE_FULL', `${group.queued} requests already wait for this application (maxQueue)`, 1)
}

function decideBirth(input: AdmissionInput, limits: AdmissionLimits, now: number): Decision {
  const { census, group, exact, patternGroups } = input
  const refusal = refuseUnwell(census, limits) ?? refuseRate(census.rate, limits.maxStarts, exact, now)
  if (refusal !== undefined) return refusal

  // A failed group that starts again has its place in the table already.
  const isNew = group === undefined
  const patternFull =
    isNew && !exact && limits.maxGroupsPerPattern > 0 && patternGroups >= limits.maxGroupsPerPattern
  const tableFull = isNew && census.groups >= limits.maxGroups
  const noPlace = placesLeft(census, limits) <= 0
  if (patternFull || tableFull || noPlace) {
    const otherwise = patternFull
      ? refuse('ERR_PATTERN_LIMIT', `All ${patternGroups} of this rule are busy (maxGroupsPerPattern)`, PLACE_RETRY)
      : tableFull
        ? refuse('ERR_GROUP_LIMIT', `All ${census.groups} applications are busy (maxGroups)`, PLACE_RETRY)
        : refuse('ERR_GROUP_LIMIT', `All ${census.contexts} contexts are busy (maxContexts)`, PLACE_RETRY)
    return { do: 'evict', victim: { samePattern: patternFull, withContext: noPlace }, otherwise }
  }
  return CREATE
}

/** A process with stuck threads or too little memory left starts nothing; what lives goes on. */
export function refuseUnwell(census: Census, limits: AdmissionLimits): Refusal | undefined {
  if (census.zombies > limits.maxZombies) {
    const message = `${census.zombies} threads could not be ended (maxZombies); only a restart ends them`
    return refuse('ERR_GROUP_LIMIT', message, RESTART_RETRY)
  }
  if (census.strained) return refuse('ERR_GROUP_LIMIT', 'The server uses more memory than maxMemory', PLACE_RETRY)
  return undefined
}

function refuseRate(rate: StartRate, maxStarts: number, exact: boolean, now: number): Refusal | undefined {
  if (maxStarts === 0) return undefined
  const wanted = exact ? 1 : 1 + Math.floor(maxStarts * RESERVED_STARTS)
  const current = refill(rate, maxStarts, now)
  if (current.tokens >= wanted) return undefined
  const seconds = toSeconds(untilTokens(current, wanted, maxStarts))
  return refuse('ERR_START_RATE', `Too many starts; at most ${maxStarts} may be in a minute (maxStarts)`, seconds)
}

/** Places for births that are not promised to anybody yet, soon to be freed ones included. */
export function placesLeft(census: Census, limits: AdmissionLimits): number {
  return limits.maxContexts - census.contexts + census.ending - census.pending
}

/** Whether a thread may start this moment without breaking maxContexts or maxStarting. */
export function mayStartNow(census: Census, limits: AdmissionLimits): boolean {
  return census.contexts < limits.maxContexts && (limits.maxStarting === 0 || census.starting < limits.maxStarting)
}

/** Whether one more spare context may start beside `threads` of them: only where nothing else starts or is to start. */
export function mayKeepSpare(census: Census, threads: number, limits: AdmissionLimits): boolean {
  if (census.draining || census.strained || census.zombies > limits.maxZombies) return false
  return census.starting === 0 && census.pending === 0 && census.contexts + threads < limits.maxContexts
}

/** May a group that serves have one more context? Only where that costs no group its first one. */
export function mayWiden(census: Census, limits: AdmissionLimits, now: number): boolean {
  return !census.draining && placesLeft(census, limits) > 0 && mayStartNow(census, limits)
    && refuseUnwell(census, limits) === undefined && refuseRate(census.rate, limits.maxStarts, false, now) === undefined
}

function refuse(code: ErrorCode, message: string, retryAfter: number): Refusal {
  return { do: 'refuse', code, message, retryAfter }
}

function toSeconds(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000))
}
