import { readFileSync } from 'node:fs'
import type { Worker } from 'node:worker_threads'

/**
 * Milliseconds of CPU that a thread has used. Exact from Linux's scheduler, by the thread's number
 * (0: not known); else the time in which its event loop was not idle, which counts waiting for a core as well.
 */
export function cpuTime(threadId: number, thread: Worker): number {
  if (threadId > 0) {
    try {
      return parseSchedstat(readFileSync(`/proc/self/task/${threadId}/schedstat`, 'latin1'))
    } catch {
      // It ended a moment ago, or the kernel was built without this file.
    }
  }
  return thread.performance.eventLoopUtilization().active
}

/** The first number is nanoseconds on a core. */
export function parseSchedstat(text: string): number {
  const nanoseconds = /^\d+/.exec(text)?.[0]
  if (nanoseconds === undefined) throw new Error('schedstat has another form')
  return Number(nanoseconds) / 1e6
}
