import type { Context, OfferedConnection } from '../context/context.ts'
import type { GroupLimits, ResolvedTenant } from './tenant.ts'

/** The group that a request asks for, resolved from its head. */
export interface GroupTarget {
  /** Process group, kind and name: unique in the registry. */
  readonly key: string
  readonly label: string
  readonly processGroup: string
  /** The rule that named the tenant: caps per pattern count by it. */
  readonly pattern: string
  /** The host that it was asked for first: a reload finds its tenant again by it. */
  readonly host: string
  /** An exact host: not counted against maxGroupsPerPattern. */
  readonly exact: boolean
  readonly tenant: ResolvedTenant
  /** Mounts that this group serves: all of the tenant's, or one under %{RESOURCE}. */
  readonly mounts: readonly { readonly path: string; readonly entry: string }[]
}

/** Admission's promise: until `release()`, the group is not evicted and the slot is held. */
export interface Lease {
  readonly context: Context
  readonly label: string
  readonly limits: GroupLimits
  /** Returns the slot; a second call does nothing. `served`: an answer's head came from the application. */
  release(served: boolean): void
  /**
   * Moves a client's connection into the context and returns the slot: from now on, the context counts what comes.
   * False: nothing has happened, and the lease is still to be released.
   */
  handOver(connection: OfferedConnection): boolean
}
