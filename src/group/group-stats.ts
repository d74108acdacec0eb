import type { ContextState } from '../context/context.ts'
import type { ErrorCode } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { GroupState } from './group.ts'
import type { Segment } from './policy.ts'

/** One group, seen now. */
export interface GroupStats {
  readonly key: string
  readonly label: string
  readonly processGroup: string
  readonly pattern: string
  readonly state: GroupState
  /** Where the eviction policy keeps it; undefined when it left the table and only drains. */
  readonly segment: Segment | undefined
  readonly contextId: number | undefined
  readonly inFlight: number
  readonly queued: number
  readonly failures: number
  /** Requests that its context answered. */
  readonly served: number
  /** Heap and external memory of its context, bytes. */
  readonly memory: number
}

/** All groups, counted. */
export interface GroupsStats {
  readonly draining: boolean
  readonly groups: Readonly<Record<GroupState, number>>
  readonly contexts: Readonly<Record<ContextState, number>>
  readonly zombies: number
  /** Births that wait for a place. */
  readonly pending: number
  readonly inFlight: number
  readonly queued: number
  /** Contexts started since the runtime began. */
  readonly births: number
  readonly evictions: Readonly<Partial<Record<EndReason, number>>>
  readonly refusals: Readonly<Partial<Record<ErrorCode, number>>>
  /** Never more than maxGroups and those that drain. */
  readonly list: readonly GroupStats[]
}

/** How close() went. */
export interface CloseCount {
  /** Contexts that ended, by themselves or not. */
  readonly ended: number
  /** Of these, contexts that had to be ended: they were starting, or still busy at the deadline. */
  readonly terminated: number
  /** Threads that could not be ended. */
  readonly zombies: number
}
