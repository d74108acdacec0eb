import { createAllowList } from '../label/allow.ts'
import type { AllowList } from '../label/allow.ts'
import type { DirectoryChange, FoundTenant, ResolvedTenant, TenantDirectory, TenantProblem } from './tenant.ts'

/** What a source holds now, by canonical pattern. */
export interface Listing {
  readonly tenants: ReadonlyMap<string, ResolvedTenant>
  readonly problems: readonly TenantProblem[]
}

/** The tenants of a source that can be listed: a folder, a Map, an object. */
export class ListedDirectory implements TenantDirectory {
  readonly #read: () => Listing
  #listing: Listing
  #found: ReadonlyMap<string, FoundTenant> = new Map()
  #match: AllowList = createAllowList([])

  /** `read` throws when the source as a whole is wrong. */
  constructor(read: () => Listing) {
    this.#read = read
    this.#listing = read()
    this.#index()
  }

  find(host: string): FoundTenant | undefined {
    const pattern = this.#match.match(host)
    return pattern === undefined ? undefined : this.#found.get(pattern)
  }

  patterns(): readonly string[] {
    return [...this.#listing.tenants.keys()]
  }

  problems(): readonly TenantProblem[] {
    return this.#listing.problems
  }

  /** A tenant that was served and is broken now goes on as it was, and is a problem. */
  async refresh(from: TenantDirectory = this): Promise<DirectoryChange> {
    const before: Listing['tenants'] = from instanceof ListedDirectory ? from.#listing.tenants : new Map()
    const { tenants, problems } = await Promise.resolve(this.#read())
    const after = new Map(tenants)
    for (const { pattern } of problems) {
      const old = before.get(pattern)
      if (old !== undefined && !after.has(pattern)) after.set(pattern, old)
    }
    this.#listing = { tenants: after, problems }
    this.#index()
    return {
      added: [...after.keys()].filter((pattern) => !before.has(pattern)),
      changed: [...before.keys()].filter((pattern) => {
        const now = after.get(pattern)
        return now !== undefined && !isSameVersion(now, before.get(pattern))
      }),
      removed: [...before.keys()].filter((pattern) => !after.has(pattern)),
    }
  }

  /** A broken tenant keeps its name: its hosts must not fall to a wildcard, which is another application. */
  #index(): void {
    const { tenants, problems } = this.#listing
    this.#found = new Map([...tenants].map(([pattern, tenant]) => [pattern, Object.freeze({ pattern, tenant })]))
    const broken = problems.map(({ pattern }) => pattern).filter(isPattern)
    this.#match = createAllowList([...tenants.keys(), ...broken])
  }
}

/** Its files and settings, and the defaults that it falls back to. */
function isSameVersion(a: ResolvedTenant, b: ResolvedTenant | undefined): boolean {
  return a.revision === b?.revision && a.identity === b.identity
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
