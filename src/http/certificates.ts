import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { publish } from '../events.ts'
import { asTenantryError } from '../errors.ts'
import { loadCertificate, stampOf } from './certificate-file.ts'
import type { Clock } from '../clock.ts'
import type { TenantryError } from '../errors.ts'
import type { ResolvedCertificate } from '../group/certificate-source.ts'
import type { LoadedCertificate } from './certificate-file.ts'

/** Certificates kept ready; one with its key takes about 30 kb of OpenSSL's memory. */
const MAX_KEPT = 2000

/** Files are looked at again at a handshake after so many milliseconds: who renews them need not tell us. */
const LOOK_AGAIN = 60_000

/** What could not be read is not tried again at each handshake. */
const RETRY = 2000

/** One that is in use. */
export interface KeptCertificate extends LoadedCertificate {
  /** Unique in this process; what is read again has another one. */
  readonly id: number
  /** For servers in contexts: the same for a source as long as it is kept. In base64. */
  readonly ticketKeys: string
}

/** What node:tls asks for. */
const TICKET_KEYS = 48

interface Entry {
  readonly source: ResolvedCertificate
  readonly ticketKeys: string
  loaded: KeptCertificate | undefined
  /** Somebody waits who says himself what is wrong with the first one. */
  isAwaited: boolean
  error: TenantryError | undefined
  /** Of the files as they were last read, whether that worked or not. */
  stamp: string | undefined
  lookedAt: number
  /** The refresh that the last look came after. */
  refresh: number
  looking: { readonly refresh: number; readonly done: Promise<void> } | undefined
}

/**
 * Certificates by their sources, read when a client first asks for one. New
 * handshakes get what is in the files now; a certificate that cannot be read
 * leaves the one before in place, and says so once.
 */
export class Certificates {
  readonly #clock: Clock
  readonly #kept = new LRUCache<string, Entry>({ max: MAX_KEPT })
  /** Those of servers, which are never forgotten. */
  readonly #held = new Map<string, Entry>()
  #refreshes = 0
  #loads = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** At once where it is known. @throws TenantryError, or rejects with it: ERR_CONFIG */
  get(source: ResolvedCertificate): KeptCertificate | Promise<KeptCertificate> {
    const entry = this.#entryOf(source)
    const age = this.#clock.now() - entry.lookedAt
    if (entry.refresh === this.#refreshes) {
      if (entry.loaded !== undefined) {
        // Whoever comes first after a change still gets the old one: no handshake waits for a slow disk.
        if (age >= LOOK_AGAIN) void this.#look(entry)
        return entry.loaded
      }
      if (entry.error !== undefined && age < RETRY) throw entry.error
    }
    return this.#look(entry).then(() => {
      if (entry.loaded !== undefined) return entry.loaded
      throw entry.error as TenantryError
    })
  }

  /** As `get`, for one that `refresh` looks at whoever asks for it; what is wrong with it now, only the caller hears. */
  async hold(source: ResolvedCertificate): Promise<KeptCertificate> {
    const entry = this.#entryOf(source)
    entry.isAwaited = true
    try {
      const certificate = await this.get(source)
      this.#held.set(keyOf(source), entry)
      return certificate
    } finally {
      entry.isAwaited = false
    }
  }

  /** Whoever asks from now on gets what is in the files now. Resolves when those that are held have it; never rejects. */
  async refresh(): Promise<void> {
    // Not all are read here: the files of a tenant that is gone are missed by nobody.
    this.#refreshes++
    await Promise.all([...this.#held.values()].map((entry) => this.#look(entry)))
  }

  #entryOf(source: ResolvedCertificate): Entry {
    const key = keyOf(source)
    let entry = this.#held.get(key) ?? this.#kept.get(key)
    if (entry === undefined) {
      const ticketKeys = randomBytes(TICKET_KEYS).toString('base64')
      entry = {
        source, ticketKeys, loaded: undefined, isAwaited: false, error: undefined, stamp: undefined,
        lookedAt: -Infinity, refresh: -1, looking: undefined,
      }
      this.#kept.set(key, entry)
    }
    return entry
  }

  /** One look at a time; one that began before a refresh may have seen the files of before. */
  #look(entry: Entry): Promise<void> {
    const refresh = this.#refreshes
    if (entry.looking?.refresh === refresh) return entry.looking.done
    const before = entry.looking?.done ?? Promise.resolve()
    const looking = { refresh, done: before.then(() => this.#lookAt(entry, refresh)) }
    entry.looking = looking
    void looking.done.then(() => {
      if (entry.looking === looking) entry.looking = undefined
    })
    return looking.done
  }

  async #lookAt(entry: Entry, refresh: number): Promise<void> {
    // Taken before the files are read: what changes while they are read is read again.
    const stamp = await stampOf(entry.source)
    if (stamp !== entry.stamp) await this.#load(entry)
    entry.stamp = stamp
    entry.lookedAt = this.#clock.now()
    entry.refresh = refresh
  }

  async #load(entry: Entry): Promise<void> {
    try {
      const { source, ticketKeys } = entry
      entry.loaded = { ...(await loadCertificate(source)), id: ++this.#loads, ticketKeys }
      entry.error = undefined
    } catch (thrown) {
      entry.error = asTenantryError(thrown, 'ERR_CONFIG', 'The certificate cannot be read')
      if (entry.isAwaited && entry.loaded === undefined) return
      const goesOn = entry.loaded === undefined ? '' : '; the one before it goes on'
      publish('tenantry:warning', { message: `${entry.error.message}${goesOn}` })
    }
  }
}

function keyOf({ cert, key }: ResolvedCertificate): string {
  return `${cert}\n${key}`
}
