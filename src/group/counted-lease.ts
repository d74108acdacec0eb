import type { Context, OfferedConnection } from '../context/context.ts'
import type { DaemonSlot } from './daemon-slot.ts'
import type { Lease } from './lease.ts'
import type { GroupLimits } from './tenant.ts'

/** A lease in one of several daemons, which counts what it has to do. */
export class CountedLease implements Lease {
  readonly #lease: Lease
  #slot: DaemonSlot | undefined

  constructor(lease: Lease, slot: DaemonSlot) {
    this.#lease = lease
    this.#slot = slot
  }

  get context(): Context {
    return this.#lease.context
  }

  get label(): string {
    return this.#lease.label
  }

  get limits(): GroupLimits {
    return this.#lease.limits
  }

  release(served: boolean): void {
    this.#leave()
    this.#lease.release(served)
  }

  handOver(connection: OfferedConnection): boolean {
    if (!this.#lease.handOver(connection)) return false
    this.#leave()
    return true
  }

  #leave(): void {
    if (this.#slot !== undefined) this.#slot.load--
    this.#slot = undefined
  }
}
