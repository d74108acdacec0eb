import type { Context } from '../context/context.ts'
import type { Lease } from './lease.ts'
import type { GroupLimits } from './tenant.ts'

/** Who counts the slots. */
export interface LeaseKeeper {
  onRelease(context: Context, served: boolean): void
}

/** One slot in one context; given back once. */
export class GroupLease implements Lease {
  readonly context: Context
  readonly label: string
  readonly limits: GroupLimits
  #keeper: LeaseKeeper | undefined

  constructor(keeper: LeaseKeeper, context: Context, label: string, limits: GroupLimits) {
    this.#keeper = keeper
    this.context = context
    this.label = label
    this.limits = limits
  }

  release(served: boolean): void {
    const keeper = this.#keeper
    this.#keeper = undefined
    keeper?.onRelease(this.context, served)
  }
}
