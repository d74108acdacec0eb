import { keepsKey } from './http/resolve.ts'
import { createTrust } from './label/trust.ts'
import { changeLive, openDirectory, openDirectoryLater, openResolver } from './resolving.ts'
import type { GroupTarget } from './group/lease.ts'
import type { DirectoryChange, FoundTenant, TenantDirectory } from './group/tenant.ts'
import type { Resolver } from './http/resolve.ts'
import type { Trust } from './label/trust.ts'
import type { ResolvedOptions } from './options.ts'

/** What a runtime serves now: options, tenants, resolver and trust, which change together or not at all. */
export class Serving {
  #options: ResolvedOptions
  #directory: TenantDirectory
  #resolver: Resolver
  #trust: Trust

  constructor(options: ResolvedOptions) {
    this.#options = options
    this.#directory = openDirectory(options)
    this.#trust = createTrust(options.trustProxy)
    this.#resolver = openResolver(this.#directory, options)
  }

  get options(): ResolvedOptions {
    return this.#options
  }

  get directory(): TenantDirectory {
    return this.#directory
  }

  get resolver(): Resolver {
    return this.#resolver
  }

  get trust(): Trust {
    return this.#trust
  }

  /** Reads the tenants again. */
  async readTenants(): Promise<void> {
    await this.#directory.refresh()
    // As they are by now: somebody may have changed them meanwhile.
    this.#resolver = openResolver(this.#directory, this.#options)
  }

  /** Reads the source again, one reading at a time; of `given`, what may change while serving takes effect. */
  async readAgain(given: ResolvedOptions | undefined): Promise<DirectoryChange> {
    const options = given === undefined ? this.#options : changeLive(this.#options, given)
    const directory = given === undefined ? this.#directory : openDirectoryLater(options)
    const trust = createTrust(options.trustProxy)
    const change = await directory.refresh(this.#directory)
    this.#resolver = openResolver(directory, options)
    this.#directory = directory
    this.#options = options
    this.#trust = trust
    return change
  }

  /** Whether the group of `target` serves what it would if it started now. */
  async isCurrent(target: GroupTarget): Promise<boolean> {
    const { revision, identity } = target.tenant
    const tenant = await this.tenantOf(target)
    return tenant !== undefined && tenant.revision === revision && tenant.identity === identity
  }

  /** The tenant whose group that of `target` is now; undefined where it is gone, or another's has taken its place. */
  async tenantOf(target: GroupTarget): Promise<FoundTenant['tenant'] | undefined> {
    const found = await this.#directory.find(target.host)
    if (found === undefined || found.pattern !== target.pattern) return undefined
    return keepsKey(target, found.tenant) ? found.tenant : undefined
  }
}
