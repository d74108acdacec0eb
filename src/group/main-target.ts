import type { GroupTarget } from './lease.ts'
import type { ResolvedTenant } from './tenant.ts'

const made = new WeakMap<ResolvedTenant, ResolvedTenant>()

/**
 * `%{GLOBAL}` in a daemon: its context is the process, so that what would replace or end it for its own sake would end
 * the others of the daemon, too. Those limits are the daemon's.
 */
export function mainTarget(target: GroupTarget): GroupTarget {
  const { tenant } = target
  let kept = made.get(tenant)
  if (kept === undefined) {
    kept = Object.freeze({
      ...tenant,
      // There is one main thread.
      threads: 1,
      contextLimits: Object.freeze({
        ...tenant.contextLimits, memoryLimit: 0, cpuTimeLimit: 0, deadlockTimeout: 0, maxRequests: 0, maxAge: 0,
        // Its pause would be felt by all contexts of the daemon.
        trimTimeout: 0,
      }),
      groupLimits: Object.freeze({ ...tenant.groupLimits, idleTimeout: 0 }),
    })
    made.set(tenant, kept)
    made.set(kept, kept)
  }
  return kept === tenant ? target : { ...target, tenant: kept }
}
