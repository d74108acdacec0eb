import type { Context } from '../context/context.ts'
import { judge } from '../context/health.ts'
import type { Verdict } from '../context/health.ts'
import type { ResolvedTenant } from './tenant.ts'

/** Of maxAge, so that groups that started together are not replaced together. */
const AGE_JITTER = 0.1

/** A loop that stood still for so long is not to get a client's connection: milliseconds, four beats. */
const STANDS_STILL = 2000

/** What the supervisor remembers of a context between two looks. */
export class Vitals {
  #since = 0
  #lifetime = 1
  #heartbeat = 0
  #silent = 0

  /** Its loop turned a moment ago. */
  get turns(): boolean {
    return this.#silent < STANDS_STILL
  }

  /** A context begins to serve; `random` from 0 to 1 shortens its life a little. */
  begin(now: number, random: number): void {
    this.#since = now
    this.#lifetime = 1 - AGE_JITTER * random
    this.#silent = 0
  }

  /**
   * The judgement now. `idle`: milliseconds without a request; `elapsed`: since the last
   * look, as far as the front itself was awake.
   */
  examine(context: Context, tenant: ResolvedTenant, idle: number, now: number, elapsed: number): Verdict {
    const snapshot = context.scoreboard.snapshot()
    // Change is what counts: the wall clock that a heartbeat carries may jump.
    this.#silent = snapshot.heartbeat === this.#heartbeat ? this.#silent + elapsed : 0
    this.#heartbeat = snapshot.heartbeat
    const { contextLimits, groupLimits } = tenant
    const { idleTimeout } = groupLimits
    const limits = { ...contextLimits, maxAge: contextLimits.maxAge * this.#lifetime, idleTimeout }
    // Asking costs a system call.
    const cpu = contextLimits.cpuTimeLimit > 0 ? context.cpuTime() : 0
    return judge(snapshot, limits, { cpu, age: now - this.#since, idle, silent: this.#silent })
  }
}
