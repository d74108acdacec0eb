import { openDescriptors } from './context/descriptors.ts'
import { complaintAbout, loadCertificate } from './http/certificate-file.ts'
import { ANY_PATTERN, DEFAULT_PATTERN } from './label/host.ts'
import { demandHandoff, obstacleIn } from './http/lane-choice.ts'
import { resolveTls } from './http/tls-options.ts'
import type { ContextLimits, TenantKind } from './context/context.ts'
import type { FoundTenant, GroupLimits, TenantDirectory, TenantProblem } from './group/tenant.ts'
import type { ResolvedCertificate } from './group/certificate-source.ts'
import type { ListenTls } from './http/tls-options.ts'
import type { Label } from './label/request-facts.ts'
import type { ResolvedOptions } from './options.ts'

/** One application of a tenant, with the groups that a request for it would get. */
export interface MountDescription {
  /** '' at the root. */
  readonly path: string
  readonly entry: string
  readonly applicationGroup: string
  readonly processGroup: string
}

/** A certificate: the names that it is for, as X.509 writes them, and its last moment in ISO 8601. */
export interface CertificateDescription {
  readonly hosts: string
  readonly validTo: string
}

export interface TenantDescription {
  /** The rule: an exact host, `*.domain` or `_default`. */
  readonly pattern: string
  readonly kind: TenantKind
  /** Contexts of a group, at most. */
  readonly threads: number
  readonly mounts: readonly MountDescription[]
  readonly limits: ContextLimits & GroupLimits
  /** The tenant's own; null without one, or where it cannot be used, which is a problem. */
  readonly certificate: CertificateDescription | null
}

export interface CertificateReport extends Pick<TenantDescription, 'certificate'> {
  readonly complaint: string | undefined
}

/** What a tenant source holds, with everything resolved. */
export interface SourceDescription {
  readonly options: ResolvedOptions
  /** undefined: a function names them. */
  readonly tenants: readonly TenantDescription[] | undefined
  readonly problems: readonly TenantProblem[]
}

/**
 * Looks at every tenant of a directory and starts nothing. Labels are those of a plain request to `port`; certificates
 * are those of the tenants, and the server's own in `tls`.
 */
export async function describeDirectory(
  directory: TenantDirectory,
  options: ResolvedOptions,
  port: number,
  tls?: ListenTls,
): Promise<SourceDescription> {
  // As a server would.
  if (options.lane === 'handoff') demandHandoff(options, obstacleIn(options, openDescriptors() !== undefined))
  const patterns = directory.patterns()
  const problems = [...directory.problems()]
  const standard = tls === undefined ? undefined : resolveTls(tls).standard
  const { complaint } = await describeCertificate(standard, undefined)
  if (complaint !== undefined) problems.push({ pattern: DEFAULT_PATTERN, message: complaint })
  if (patterns === undefined) return { options, tenants: undefined, problems }
  const tenants: TenantDescription[] = []
  for (const pattern of patterns) {
    const found = await directory.find(hostOf(pattern) ?? pattern)
    // A tenant that is refused when it is looked up is a problem already.
    if (found === undefined || found.pattern !== pattern) continue
    const { certificate, complaint } = await describeCertificate(found.tenant.tls, hostOf(pattern))
    if (complaint !== undefined) problems.push({ pattern, message: complaint })
    if (tls !== undefined && standard === undefined && found.tenant.tls === undefined) {
      const message = 'there is no certificate for it: every handshake is refused; give it one, or the server one for all (tls.cert)'
      problems.push({ pattern, message })
    }
    const described = { ...describeTenant(found, port), certificate }
    tenants.push(described)
    const name = described.mounts[0]?.processGroup ?? ''
    // Only a literal is the same for every request.
    const isFixed = found.tenant.processGroup.kind === 'literal' && name !== ''
    if (isFixed && !Object.hasOwn(options.processGroups, name)) {
      problems.push({ pattern, message: `the process group '${name}' is not declared: every request is a 500; see processGroups` })
    }
    if (described.threads > 1 && described.mounts.some(isMainThread)) {
      problems.push({ pattern, message: `threads is ${described.threads}, but %{GLOBAL} in a daemon is its main thread: there is one` })
    }
  }
  return { options, tenants, problems }
}

function isMainThread({ applicationGroup, processGroup }: MountDescription): boolean {
  return applicationGroup === '' && processGroup !== ''
}

/** What a certificate is, and why clients would not trust it. Never rejects. */
export async function describeCertificate(source: ResolvedCertificate | undefined, host: string | undefined): Promise<CertificateReport> {
  if (source === undefined) return { certificate: null, complaint: undefined }
  try {
    const loaded = await loadCertificate(source)
    const { subjectAltName = '', validTo } = loaded.leaf
    const certificate = { hosts: subjectAltName, validTo: new Date(validTo).toISOString() }
    return { certificate, complaint: complaintAbout(loaded, host, Date.now()) }
  } catch (error) {
    return { certificate: null, complaint: error instanceof Error ? error.message : String(error) }
  }
}

/** A host that the pattern matches; undefined for one that any host matches. */
function hostOf(pattern: string): string | undefined {
  if (pattern.startsWith('*.')) return `any${pattern.slice(1)}`
  return pattern === DEFAULT_PATTERN || pattern === ANY_PATTERN ? undefined : pattern
}

function describeTenant({ pattern, tenant }: FoundTenant, port: number): Omit<TenantDescription, 'certificate'> {
  return {
    pattern,
    kind: tenant.kind,
    threads: tenant.threads,
    mounts: tenant.mounts.map(({ path, entry }) => ({
      path,
      entry,
      applicationGroup: expand(tenant.applicationGroup, pattern, path, port),
      processGroup: expand(tenant.processGroup, pattern, path, port),
    })),
    limits: { ...tenant.contextLimits, ...tenant.groupLimits },
  }
}

/** The pattern stands for the host, so that a wildcard's group reads as what it is: one for each host. */
function expand(label: Label, host: string, mount: string, port: number): string {
  try {
    return label(
      { host, hostPort: undefined, acceptingPort: port, method: 'GET', url: `${mount}/`, rawHeaders: [] },
      mount,
    ).shown
  } catch {
    // A label of request variables or a function has no name without a request.
    return `(${label.kind})`
  }
}
