import { Segments } from './policy.ts'
import type { Segment } from './policy.ts'
import type { VictimScope } from './admission.ts'
import type { GroupTarget } from './lease.ts'

/** What the registry needs to know of a group. */
export interface Registered {
  readonly target: GroupTarget
  /** Nothing in flight, nobody waiting, no start under way. */
  readonly idle: boolean
  readonly holdsContext: boolean
}

/** The table of groups by key. It never drops one by itself: `victim` only points at the one that may go. */
export class Registry<G extends Registered> {
  readonly #segments: Segments<G>
  readonly #perPattern = new Map<string, number>()

  constructor(capacity: number, seed?: number) {
    this.#segments = new Segments<G>({ capacity, ...(seed === undefined ? {} : { seed }) })
  }

  get size(): number {
    return this.#segments.size
  }

  /** The group, which is now the most recently used of its segment. */
  use(key: string, now: number): G | undefined {
    return this.#segments.use(key, now)
  }

  peek(key: string): G | undefined {
    return this.#segments.peek(key)
  }

  segment(key: string): Segment | undefined {
    return this.#segments.segment(key)
  }

  /** Groups whose tenant this rule named, those of exact hosts not counted. */
  inPattern(pattern: string): number {
    return this.#perPattern.get(pattern) ?? 0
  }

  add(group: G, now: number): void {
    this.#segments.add(group.target.key, group, now)
    this.#count(group.target, 1)
  }

  /** Puts `group` in the place of the one with the same key, its rank kept. */
  replace(old: G, group: G): void {
    this.#segments.replace(old.target.key, group)
    this.#count(old.target, -1)
    this.#count(group.target, 1)
  }

  /** Takes exactly this group out; another one under the same key stays. */
  remove(group: G): boolean {
    if (this.#segments.peek(group.target.key) !== group) return false
    this.#segments.delete(group.target.key)
    this.#count(group.target, -1)
    return true
  }

  /** The idle group in the scope that is worth least, or undefined when all are busy. */
  victim(scope: VictimScope, pattern: string, spared?: G): G | undefined {
    return this.#segments.victim(
      (group) =>
        group.idle &&
        group !== spared &&
        (!scope.withContext || group.holdsContext) &&
        (!scope.samePattern || (!group.target.exact && group.target.pattern === pattern)),
    )
  }

  values(): Generator<G> {
    return this.#segments.values()
  }

  #count(target: GroupTarget, by: number): void {
    if (target.exact) return
    const count = this.inPattern(target.pattern) + by
    if (count === 0) this.#perPattern.delete(target.pattern)
    else this.#perPattern.set(target.pattern, count)
  }
}
