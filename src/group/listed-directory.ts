import { createAllowList } from '../label/allow.ts'
import { HostTable } from '../label/host-table.ts'
import { atOnce, inSlices } from './slices.ts'
import type { Clock } from '../clock.ts'
import type { AllowList } from '../label/allow.ts'
import type { Steps } from './slices.ts'
import type { DirectoryChange, FoundTenant, ResolvedTenant, TenantDirectory, TenantProblem } from './tenant.ts'

/** What a source holds now, by canonical pattern; made anew by each reading. */
export interface Listing {
  readonly tenants: Map<string, ResolvedTenant>
  readonly problems: readonly TenantProblem[]
}

type Tenants = ReadonlyMap<string, ResolvedTenant>

/** What is looked up for each request. */
interface Index {
  readonly allowed: AllowList
  /** A broken tenant keeps its name: its hosts must not fall to a wildcard, which is another application. */
  readonly found: HostTable<FoundTenant | typeof BROKEN>
}

/** A listing with its index, replaced as one. */
interface Content extends Listing, Index {}

const BROKEN = Symbol('broken')

/** The tenants of a source that can be listed: a folder, a Map, an object. */
export class ListedDirectory implements TenantDirectory {
  readonly #read: () => Steps<Listing>
  readonly #clock: Clock
  #content: Content = { tenants: new Map(), problems: [], allowed: createAllowList([]), found: new HostTable() }
  /** The refresh under way, which the next one waits for: what was read later must not be replaced by what was read before. */
  #refreshing: Promise<unknown> = Promise.resolve()

  /** Empty until the first `load` or `refresh`. `read` throws when the source as a whole is wrong. */
  constructor(read: () => Steps<Listing>, clock: Clock) {
    this.#read = read
    this.#clock = clock
  }

  /** Reads the source without a pause: for who serves nobody yet. */
  load(): this {
    this.#content = atOnce(contentOf(atOnce(this.#read())))
    return this
  }

  find(host: string): FoundTenant | undefined {
    const found = this.#content.found.match(host)
    return found === BROKEN ? undefined : found
  }

  patterns(): readonly string[] {
    return [...this.#content.tenants.keys()]
  }

  rules(): AllowList {
    return this.#content.allowed
  }

  problems(): readonly TenantProblem[] {
    return this.#content.problems
  }

  /** A tenant that was served and is broken now goes on as it was, and is a problem. */
  async refresh(from: TenantDirectory = this): Promise<DirectoryChange> {
    const refreshed = this.#refreshing.then(() => inSlices(this.#renew(from), this.#clock))
    this.#refreshing = refreshed.catch(() => {})
    return await refreshed
  }

  *#renew(from: TenantDirectory): Steps<DirectoryChange> {
    const before: Tenants = from instanceof ListedDirectory ? from.#content.tenants : new Map()
    const { tenants: after, problems } = yield* this.#read()
    for (const { pattern } of problems) {
      const old = before.get(pattern)
      if (old !== undefined && !after.has(pattern)) after.set(pattern, old)
    }
    const content = yield* contentOf({ tenants: after, problems })
    const change = yield* changeOf(before, after)
    this.#content = content
    return change
  }
}

function* contentOf({ tenants, problems }: Listing): Steps<Content> {
  const found: Index['found'] = new HostTable()
  for (const [pattern, tenant] of tenants) {
    found.set(pattern, Object.freeze({ pattern, tenant }))
    yield
  }
  const broken = problems.filter(({ pattern }) => !tenants.has(pattern) && isPattern(pattern))
  for (const { pattern } of broken) found.set(pattern, BROKEN)
  return { tenants, problems, found, allowed: yield* allowedOf(tenants, found, broken.length > 0) }
}

/** Nobody may ask for a host only because its tenant is broken; where none is, one table serves for both questions. */
function* allowedOf(tenants: Tenants, found: Index['found'], anyBroken: boolean): Steps<AllowList> {
  if (!anyBroken) {
    return {
      match(host) {
        const rule = found.match(host)
        return rule === BROKEN ? undefined : rule?.pattern
      },
    }
  }
  const allowed = new HostTable<string>()
  for (const pattern of tenants.keys()) {
    allowed.set(pattern, pattern)
    yield
  }
  return allowed
}

function* changeOf(before: Tenants, after: Tenants): Steps<DirectoryChange> {
  const added: string[] = []
  const changed: string[] = []
  const removed: string[] = []
  for (const [pattern, tenant] of after) {
    const old = before.get(pattern)
    if (old === undefined) added.push(pattern)
    else if (!isSameVersion(tenant, old)) changed.push(pattern)
    yield
  }
  for (const pattern of before.keys()) {
    if (!after.has(pattern)) removed.push(pattern)
    yield
  }
  return { added, changed, removed }
}

/** Its files and settings, and the defaults that it falls back to. */
function isSameVersion(a: ResolvedTenant, b: ResolvedTenant): boolean {
  return a.revision === b.revision && a.identity === b.identity
}

/** A problem may be that the name itself is none. */
function isPattern(text: string): boolean {
  try {
    createAllowList([text])
    return true
  } catch {
    return false
  }
}
