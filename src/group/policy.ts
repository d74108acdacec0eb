import { LRUCache } from 'lru-cache'
import { Frequency } from './frequency.ts'

/** Newcomers: a tenth, so that a scan passes through few places. Chosen by benchmarks/cases/policy.mjs. */
const WINDOW_SHARE = 0.1
/** Of the rest, what came on several visits. */
const PROTECTED_SHARE = 0.8

/**
 * Requests closer together than this are one visit. A page and its twenty pictures
 * must not make a one-off visitor look like a regular, and a host with a thousand
 * requests a second must not wash out the memory of all others.
 */
export const VISIT_GAP = 10_000

interface Entry<T> {
  readonly value: T
  /** When the last visit was counted. */
  visitAt: number
}

export type Segment = 'window' | 'probation' | 'protected'

export interface SegmentsOptions {
  /** Entries that may be there at once; whoever adds keeps to it by taking victims first. */
  readonly capacity: number
  /** Milliseconds; default 10 s. */
  readonly visitGap?: number
  readonly seed?: number
}

/**
 * Who stays when room is needed: W-TinyLFU, on three lru-caches for their ordering.
 * A newcomer enters the window; its oldest entry contests the oldest of the main part,
 * and the one that visited more often lately stays. Nothing is ever evicted from
 * here unasked: `victim` only points.
 */
export class Segments<T extends object> {
  readonly #window: LRUCache<string, Entry<T>>
  readonly #probation: LRUCache<string, Entry<T>>
  readonly #protected: LRUCache<string, Entry<T>>
  readonly #windowMost: number
  readonly #protectedMost: number
  readonly #visitGap: number
  readonly #frequency: Frequency

  constructor(options: SegmentsOptions) {
    const { capacity, visitGap = VISIT_GAP, seed = Math.trunc(Math.random() * 2 ** 31) } = options
    // Twice what may ever be inside: lru-cache evicts without asking, and it must not.
    const max = capacity * 2 + 2
    this.#window = new LRUCache({ max })
    this.#probation = new LRUCache({ max })
    this.#protected = new LRUCache({ max })
    this.#windowMost = Math.max(1, Math.round(capacity * WINDOW_SHARE))
    this.#protectedMost = Math.max(1, Math.floor((capacity - this.#windowMost) * PROTECTED_SHARE))
    this.#visitGap = visitGap
    this.#frequency = new Frequency(capacity, seed)
  }

  get size(): number {
    return this.#window.size + this.#probation.size + this.#protected.size
  }

  /** The value, now the most recently used of its segment. */
  use(key: string, now: number): T | undefined {
    const entry = this.#protected.get(key) ?? this.#window.get(key) ?? this.#probation.get(key)
    if (entry === undefined) return undefined
    if (now - entry.visitAt >= this.#visitGap) this.#visit(key, entry, now)
    return entry.value
  }

  /** The value, with nothing noted. */
  peek(key: string): T | undefined {
    return (this.#protected.peek(key) ?? this.#window.peek(key) ?? this.#probation.peek(key))?.value
  }

  segment(key: string): Segment | undefined {
    if (this.#protected.has(key)) return 'protected'
    if (this.#window.has(key)) return 'window'
    return this.#probation.has(key) ? 'probation' : undefined
  }

  add(key: string, value: T, now: number): void {
    this.#frequency.add(key)
    this.#window.set(key, { value, visitAt: now })
    if (this.#window.size > this.#windowMost) this.#moveOldest(this.#window, this.#probation)
  }

  /** Puts another value in the place of the one under `key`, its rank kept. */
  replace(key: string, value: T): void {
    for (const part of [this.#protected, this.#window, this.#probation]) {
      const entry = part.peek(key)
      if (entry !== undefined) part.set(key, { value, visitAt: entry.visitAt })
    }
  }

  delete(key: string): boolean {
    return this.#window.delete(key) || this.#probation.delete(key) || this.#protected.delete(key)
  }

  /** The entry that is worth least among those that may go. */
  victim(mayGo: (value: T) => boolean): T | undefined {
    const main = oldest(this.#probation, mayGo) ?? oldest(this.#protected, mayGo)
    const newcomer = oldest(this.#window, mayGo)
    if (main === undefined || newcomer === undefined) return (main ?? newcomer)?.value
    // The window is not full: the newcomer has not had its time yet.
    if (this.#window.size < this.#windowMost) return main.value
    if (this.#frequency.of(newcomer.key) <= this.#frequency.of(main.key)) return newcomer.value
    this.#moveOldest(this.#window, this.#probation, newcomer.key)
    return main.value
  }

  *values(): Generator<T> {
    for (const part of [this.#window, this.#probation, this.#protected]) {
      for (const entry of part.values()) yield entry.value
    }
  }

  #visit(key: string, entry: Entry<T>, now: number): void {
    entry.visitAt = now
    this.#frequency.add(key)
    if (!this.#probation.delete(key)) return
    this.#protected.set(key, entry)
    if (this.#protected.size > this.#protectedMost) this.#moveOldest(this.#protected, this.#probation)
  }

  #moveOldest(from: LRUCache<string, Entry<T>>, to: LRUCache<string, Entry<T>>, key = from.rkeys().next().value): void {
    const entry = key === undefined ? undefined : from.peek(key)
    if (key === undefined || entry === undefined) return
    from.delete(key)
    to.set(key, entry)
  }
}

function oldest<T extends object>(
  part: LRUCache<string, Entry<T>>,
  mayGo: (value: T) => boolean,
): { key: string; value: T } | undefined {
  for (const key of part.rkeys()) {
    const entry = part.peek(key)
    if (entry !== undefined && mayGo(entry.value)) return { key, value: entry.value }
  }
  return undefined
}
