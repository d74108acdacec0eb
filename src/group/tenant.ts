import type { ContextLimits, Mount, PermissionSpec, TenantKind } from '../context/context.ts'
import type { AllowList } from '../label/allow.ts'
import type { Label, LabelSpec } from '../label/request-facts.ts'
import type { CertificateSource, ResolvedCertificate } from './certificate-source.ts'

/** What a tenant may limit for itself instead of the runtime. Durations and sizes: numbers or text ('30s', '64mb'). */
export interface TenantLimits {
  readonly startupTimeout?: number | string
  readonly handlerTimeout?: number | string
  readonly idleTimeout?: number | string
  readonly trimTimeout?: number | string
  readonly deadlockTimeout?: number | string
  readonly terminateTimeout?: number | string
  readonly memoryLimit?: number | string
  readonly cpuTimeLimit?: number | string
  readonly bodyLimit?: number | string
  readonly bufferLimit?: number | string
  readonly maxRequests?: number
  readonly maxAge?: number | string
  readonly maxInFlight?: number
  readonly maxQueue?: number
}

/** Who is served: an entry module (or several, by mount path) and its settings. What a user writes. */
export interface Tenant {
  /** The module that is the application. One of `entry` and `mounts`. */
  readonly entry?: string | URL
  /** Mount path → entry module; the longest path that fits wins. */
  readonly mounts?: Readonly<Record<string, string | URL>>
  /** Default 'auto'. */
  readonly kind?: TenantKind
  readonly applicationGroup?: LabelSpec
  readonly processGroup?: LabelSpec
  readonly env?: Readonly<Record<string, string>>
  readonly preload?: string | readonly string[]
  /** Node's permission model: true for "read your own folder only", or what else it may read and write. */
  readonly permission?: boolean | { readonly read?: readonly string[]; readonly write?: readonly string[] }
  /** How many contexts its group may have, 1 to 256; each has a memory of its own. Default 1. */
  readonly threads?: number
  readonly limits?: TenantLimits
  /** The certificate of its hosts, for servers that speak TLS; paths start from the tenant's folder. */
  readonly tls?: CertificateSource
}

/** What a request is held to by its group. Milliseconds and bytes; 0 is off. */
export interface GroupLimits {
  readonly handlerTimeout: number
  readonly idleTimeout: number
  readonly bodyLimit: number
  readonly maxInFlight: number
  readonly maxQueue: number
}

/** A tenant after its settings were checked and the runtime's defaults filled in. Frozen. */
export interface ResolvedTenant {
  /** Longest path first. */
  readonly mounts: readonly Mount[]
  readonly kind: TenantKind
  readonly applicationGroup: Label
  readonly processGroup: Label
  readonly env: Readonly<Record<string, string>>
  readonly preload: readonly string[]
  readonly permission: PermissionSpec | undefined
  readonly directory: string
  /** Contexts of its group, at most. */
  readonly threads: number
  readonly contextLimits: ContextLimits
  readonly groupLimits: GroupLimits
  /** Not a part of identity and revision: a new certificate needs no new context. */
  readonly tls: ResolvedCertificate | undefined
  /** Says which application this is: tenants that differ in it never share a group, whatever its name. */
  readonly identity: string
  /** Changes when the tenant's settings or entry change: a reload compares it. */
  readonly revision: string
}

/** A tenant with the rule that named it: an exact host, `*.domain`, `_default`, or `*` for a function source. */
export interface FoundTenant {
  readonly pattern: string
  readonly tenant: ResolvedTenant
}

/** Where tenants come from, after resolution. `find` answers at once when it can. */
export interface TenantDirectory {
  find(host: string): FoundTenant | undefined | Promise<FoundTenant | undefined>
  /** The hosts that the source names, as allow-list patterns; undefined when it cannot enumerate them. */
  patterns(): readonly string[] | undefined
  /** These patterns as an allow list, without a copy of them; undefined likewise. It stays as it is when the source is read again. */
  rules(): AllowList | undefined
  /** Tenants that were found but cannot be served, with the reason: they do not stop the others. */
  problems(): readonly TenantProblem[]
  /**
   * Reads the source again; returns what changed since `before`, by default since the last time. A source that cannot
   * change answers with nothing changed. A tenant that `before` has and that is broken now goes on as it was there.
   */
  refresh(before?: TenantDirectory): Promise<DirectoryChange>
}

export interface TenantProblem {
  readonly pattern: string
  readonly message: string
}

export interface DirectoryChange {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}
