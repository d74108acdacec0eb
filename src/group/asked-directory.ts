import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { asTenantryError, TenantryError } from '../errors.ts'
import { ANY_PATTERN } from '../label/host.ts'
import { NegativeCache } from './negative-cache.ts'
import { resolveTenant } from './resolve-tenant.ts'
import type { TenantDefaults } from './resolve-tenant.ts'
import type { DirectoryChange, FoundTenant, ResolvedTenant, Tenant, TenantDirectory } from './tenant.ts'

/** Who knows the tenant of a host. `signal` is aborted when nobody waits for the answer any more. */
export type TenantFunction = (host: string, signal: AbortSignal) => Awaitable<Tenant | string | undefined | null>

type Awaitable<T> = T | Promise<T>

/** Answers kept; each is a host and a reference to its tenant. */
const MOST_FOUND = 5000
/** How long an answer holds; milliseconds. */
const FOUND_FOR = 60_000
/** Questions open at once: a flood of hosts must not become a flood of queries. */
const MOST_OPEN = 64
/** Milliseconds for one answer. */
const ANSWER_WITHIN = 5000

/** Tenants that a function knows: one question per host at a time, few at once, each with a deadline, answers kept. */
export class AskedDirectory implements TenantDirectory {
  readonly #ask: TenantFunction
  readonly #defaults: TenantDefaults
  readonly #clock: Clock
  readonly #found: LRUCache<string, FoundTenant>
  readonly #none: NegativeCache
  readonly #open = new Map<string, Promise<FoundTenant | undefined>>()
  /** One object given for many hosts is resolved once. */
  readonly #resolved = new WeakMap<object, ResolvedTenant>()

  constructor(ask: TenantFunction, defaults: TenantDefaults, clock: Clock) {
    this.#ask = ask
    this.#defaults = defaults
    this.#clock = clock
    this.#found = new LRUCache({ max: MOST_FOUND, ttl: FOUND_FOR, perf: clock, ttlResolution: 0 })
    this.#none = new NegativeCache(clock)
  }

  /**
   * @throws TenantryError, or rejects with it: ERR_START_FAILED or ERR_START_TIMEOUT when the function fails,
   * ERR_QUEUE_FULL when too many questions are open
   */
  find(host: string): FoundTenant | undefined | Promise<FoundTenant | undefined> {
    const known = this.#found.get(host)
    if (known !== undefined) return known
    const none = this.#none.get(host)
    if (none !== undefined) {
      if (none.error !== undefined) throw none.error
      return undefined
    }
    return this.#open.get(host) ?? this.#question(host)
  }

  patterns(): undefined {
    return undefined
  }

  rules(): undefined {
    return undefined
  }

  problems(): readonly never[] {
    return []
  }

  /** Forgets every answer. */
  async refresh(): Promise<DirectoryChange> {
    this.#found.clear()
    this.#none.clear()
    return await Promise.resolve({ added: [], changed: [], removed: [] })
  }

  #question(host: string): FoundTenant | undefined | Promise<FoundTenant | undefined> {
    if (this.#open.size >= MOST_OPEN) {
      throw new TenantryError('ERR_QUEUE_FULL', `${MOST_OPEN} look-ups of tenants are open already`, { retryAfter: 1 })
    }
    const abort = new AbortController()
    let answer: ReturnType<TenantFunction>
    try {
      answer = this.#ask(host, abort.signal)
    } catch (error) {
      throw this.#failed(host, error)
    }
    if (!(answer instanceof Promise)) return this.#keepOrThrow(host, answer)
    const open = this.#within(answer, abort)
      .then((tenant) => this.#keepOrThrow(host, tenant), (error: unknown) => {
        throw this.#failed(host, error)
      })
      .finally(() => this.#open.delete(host))
    this.#open.set(host, open)
    return open
  }

  #within<T>(answer: Promise<T>, abort: AbortController): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = this.#clock.after(ANSWER_WITHIN, () => {
        const message = `The tenants function did not answer within ${ANSWER_WITHIN} ms`
        const error = new TenantryError('ERR_START_TIMEOUT', message)
        reject(error)
        abort.abort(error)
      })
      answer.then(resolve, reject).finally(stop)
    })
  }

  #keepOrThrow(host: string, tenant: Tenant | string | undefined | null): FoundTenant | undefined {
    if (tenant === undefined || tenant === null) {
      this.#none.remember(host)
      return undefined
    }
    let resolved: ResolvedTenant
    try {
      resolved = this.#resolve(tenant)
    } catch (error) {
      throw this.#failed(host, error)
    }
    const found = Object.freeze({ pattern: ANY_PATTERN, tenant: resolved })
    this.#found.set(host, found)
    return found
  }

  #resolve(tenant: Tenant | string): ResolvedTenant {
    const kept = typeof tenant === 'object' ? this.#resolved.get(tenant) : undefined
    if (kept !== undefined) return kept
    const resolved = resolveTenant(tenant, { pattern: ANY_PATTERN, base: process.cwd() }, this.#defaults)
    if (typeof tenant === 'object') this.#resolved.set(tenant, resolved)
    return resolved
  }

  #failed(host: string, thrown: unknown): TenantryError {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    const error = isOptionError(thrown)
      ? new TenantryError('ERR_START_FAILED', `The tenants function answered wrongly: ${why}`, { cause: thrown })
      : asTenantryError(thrown, 'ERR_START_FAILED', `The tenants function failed: ${why}`)
    this.#none.remember(host, error)
    return error
  }
}

/** A code without a status is for the programmer; a client needs one with. */
function isOptionError(thrown: unknown): boolean {
  return thrown instanceof TenantryError && thrown.status === null
}
