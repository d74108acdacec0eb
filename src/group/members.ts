import type { Context } from '../context/context.ts'
import type { Member } from './member.ts'
import type { Waiting } from './wait-queue.ts'

/** The contexts of a group, and who of them gets the next request. */
export class Members {
  #all: readonly Member[] = []
  #inFlight = 0
  #turn = 0

  /** As they are now: what comes and goes later does not change the list. */
  get all(): readonly Member[] {
    return this.#all
  }

  get size(): number {
    return this.#all.length
  }

  /** Leases of all of them together. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Whether one of them works on something, on either lane. */
  get areBusy(): boolean {
    return this.#all.some(({ busy }) => busy)
  }

  /** None is still starting. */
  get areReady(): boolean {
    return this.#all.every(({ isReady }) => isReady)
  }

  /** Whether anything was ever asked of them. */
  get wereAsked(): boolean {
    return this.#all.some(({ granted }) => granted > 0)
  }

  /** The one that should have the next request; undefined where none can take it. */
  next(home?: Context['channel']): Member | undefined {
    let best: Member | undefined
    for (const member of this.#all) {
      if (member.takes && (best === undefined || member.comesBefore(best, home))) best = member
    }
    return best
  }

  /** Of several that take requests, the one with the least to do. */
  get spare(): Member | undefined {
    return this.#all.length > 1 && this.#all.filter(({ takes }) => takes).length > 1 ? this.next() : undefined
  }

  has(member: Member): boolean {
    return this.#all.includes(member)
  }

  add(member: Member): void {
    this.#all = [...this.#all, member]
    this.#inFlight += member.inFlight
  }

  /** They take their slots along. */
  remove(gone: readonly Member[]): void {
    this.#all = this.#all.filter((member) => !gone.includes(member))
    this.#inFlight = this.#all.reduce((sum, { inFlight }) => sum + inFlight, 0)
  }

  /** Takes a slot in the one that should have it. */
  take(who?: Waiting): Member | undefined {
    const next = this.next(this.#all.length > 1 ? who?.home : undefined)
    if (next === undefined) return undefined
    this.#inFlight++
    next.take(++this.#turn)
    return next
  }

  /** A slot of one of them is free again. */
  free(): void {
    this.#inFlight--
  }
}
