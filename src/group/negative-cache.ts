import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { TenantryError } from '../errors.ts'

/** Hosts remembered; at the 253 characters that a name may have, about 4 MB. */
const MOST = 5000
/** How long "there is none" holds; milliseconds. */
const NONE_FOR = 30_000
/** How long a failure holds: short, for it may be over. Milliseconds. */
const FAILED_FOR = 2000

/** Hosts for which a source had no tenant or failed: the same question is not asked again at once. */
export class NegativeCache {
  readonly #answers: LRUCache<string, { readonly error: TenantryError | undefined }>

  constructor(clock: Clock) {
    this.#answers = new LRUCache({ max: MOST, ttl: NONE_FOR, perf: clock, ttlResolution: 0 })
  }

  get size(): number {
    return this.#answers.size
  }

  /** What is known of a host: nothing, that it has no tenant, or the error that the source gave. */
  get(host: string): { readonly error: TenantryError | undefined } | undefined {
    return this.#answers.get(host)
  }

  remember(host: string, error?: TenantryError): void {
    this.#answers.set(host, { error }, { ttl: error === undefined ? NONE_FOR : FAILED_FOR })
  }

  clear(): void {
    this.#answers.clear()
  }
}
