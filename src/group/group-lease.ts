import type { Context, OfferedConnection } from '../context/context.ts'
import type { Lease } from './lease.ts'
import type { GroupLimits } from './tenant.ts'

/** Who counts the slots of a context. */
export interface LeaseKeeper {
  readonly context: Context
  /**
   * False while others start that should have their share of the connections, since one that moved cannot move again;
   * and while its loop stands still.
   */
  readonly mayHaveConnections: boolean
  onRelease(served: boolean): void
  /** Instead of a release: a connection has moved into the context. */
  onHandedOver(): void
}

/** One slot in one context; given back once. */
export class GroupLease implements Lease {
  readonly context: Context
  readonly label: string
  readonly limits: GroupLimits
  #keeper: LeaseKeeper | undefined

  constructor(keeper: LeaseKeeper, label: string, limits: GroupLimits) {
    this.#keeper = keeper
    this.context = keeper.context
    this.label = label
    this.limits = limits
  }

  release(served: boolean): void {
    const keeper = this.#keeper
    this.#keeper = undefined
    keeper?.onRelease(served)
  }

  handOver(connection: OfferedConnection): boolean {
    const keeper = this.#keeper
    if (keeper === undefined || !keeper.mayHaveConnections || !this.context.handOver(connection)) return false
    this.#keeper = undefined
    keeper.onHandedOver()
    return true
  }
}
