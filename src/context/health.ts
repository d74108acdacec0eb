import type { EndReason } from '../events.ts'
import type { ScoreboardSnapshot } from '../wire/scoreboard.ts'
import type { ContextLimits } from './context.ts'

/** Past this many times its memory limit a context is ended at once instead of drained. */
export const MEMORY_HARD_FACTOR = 1.25

/** The same for its CPU time. */
export const CPU_HARD_FACTOR = 1.25

/** What the supervisor should do with a context. `retire`: replace it, let what is in flight finish. */
export type Verdict =
  | { readonly do: 'keep' }
  | { readonly do: 'retire'; readonly reason: EndReason }
  | {
      readonly do: 'terminate'
      readonly reason: EndReason
      readonly code: 'ERR_CONTEXT_MEMORY' | 'ERR_CONTEXT_CPU' | 'ERR_CONTEXT_DEADLOCK'
      readonly message: string
    }

type WatchedLimits = Pick<ContextLimits, 'memoryLimit' | 'cpuTimeLimit' | 'deadlockTimeout' | 'maxRequests' | 'maxAge'>

export interface HealthLimits extends WatchedLimits {
  /** A context without requests for so long ends; milliseconds, 0 is off. */
  readonly idleTimeout: number
}

/** Milliseconds of the front's own clock, that never goes back. */
export interface HealthTimes {
  readonly age: number
  /** CPU of its thread so far. */
  readonly cpu: number
  /** Since the last request ended; 0 while one is open. */
  readonly idle: number
  /** Since the heartbeat last changed, time that the front itself stood still left out. */
  readonly silent: number
}

const KEEP: Verdict = { do: 'keep' }

/** The supervisor's judgement on one context: pure, gravest finding first. */
export function judge(snapshot: ScoreboardSnapshot, limits: HealthLimits, times: HealthTimes): Verdict {
  const memory = snapshot.heapUsed + snapshot.external
  if (limits.memoryLimit > 0 && memory > limits.memoryLimit * MEMORY_HARD_FACTOR) {
    const message = `The context used ${memory} bytes; memoryLimit is ${limits.memoryLimit}`
    return { do: 'terminate', reason: 'memory', code: 'ERR_CONTEXT_MEMORY', message }
  }
  if (limits.deadlockTimeout > 0 && times.silent > limits.deadlockTimeout) {
    const message = `The context's event loop did not turn for ${limits.deadlockTimeout} ms (deadlockTimeout)`
    return { do: 'terminate', reason: 'deadlock', code: 'ERR_CONTEXT_DEADLOCK', message }
  }
  if (limits.cpuTimeLimit > 0 && times.cpu >= limits.cpuTimeLimit * CPU_HARD_FACTOR) {
    const message = `The context used ${Math.round(times.cpu)} ms of CPU; cpuTimeLimit is ${limits.cpuTimeLimit}`
    return { do: 'terminate', reason: 'cpu', code: 'ERR_CONTEXT_CPU', message }
  }
  if (limits.memoryLimit > 0 && memory > limits.memoryLimit) return { do: 'retire', reason: 'memory' }
  if (limits.cpuTimeLimit > 0 && times.cpu >= limits.cpuTimeLimit) return { do: 'retire', reason: 'cpu' }
  if (limits.maxRequests > 0 && snapshot.served >= limits.maxRequests) return { do: 'retire', reason: 'requests' }
  if (limits.maxAge > 0 && times.age >= limits.maxAge) return { do: 'retire', reason: 'age' }
  if (limits.idleTimeout > 0 && times.idle >= limits.idleTimeout) return { do: 'retire', reason: 'inactivity' }
  return KEEP
}
