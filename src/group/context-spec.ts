import type { ContextSpec } from '../context/context.ts'
import type { GroupTarget } from './lease.ts'
import type { GroupLimits } from './tenant.ts'

/** What a context of the group is started with. */
export function specOf(target: GroupTarget): ContextSpec {
  const { tenant } = target
  return Object.freeze({
    label: target.label,
    processGroup: target.processGroup,
    mounts: target.mounts,
    kind: tenant.kind,
    env: tenant.env,
    preload: tenant.preload,
    permission: tenant.permission,
    directory: tenant.directory,
    limits: tenant.contextLimits,
    requests: requestsOf(tenant.groupLimits),
  })
}

/** Named one by one: the rest of what a group is held to is not the context's business. */
function requestsOf({ handlerTimeout, bodyLimit, maxInFlight, maxQueue }: GroupLimits): ContextSpec['requests'] {
  return { handlerTimeout, bodyLimit, maxInFlight, maxQueue }
}
