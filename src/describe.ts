import type { ContextLimits, TenantKind } from './context/context.ts'
import type { FoundTenant, GroupLimits, TenantDirectory, TenantProblem } from './group/tenant.ts'
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

export interface TenantDescription {
  /** The rule: an exact host, `*.domain` or `_default`. */
  readonly pattern: string
  readonly kind: TenantKind
  readonly mounts: readonly MountDescription[]
  readonly limits: ContextLimits & GroupLimits
}

/** What a tenant source holds, with everything resolved. */
export interface SourceDescription {
  readonly options: ResolvedOptions
  /** undefined: a function names them. */
  readonly tenants: readonly TenantDescription[] | undefined
  readonly problems: readonly TenantProblem[]
}

/** Looks at every tenant of a directory and starts nothing. Labels are those of a plain request to `port`. */
export async function describeDirectory(
  directory: TenantDirectory,
  options: ResolvedOptions,
  port: number,
): Promise<SourceDescription> {
  const patterns = directory.patterns()
  const problems = [...directory.problems()]
  if (patterns === undefined) return { options, tenants: undefined, problems }
  const tenants: TenantDescription[] = []
  for (const pattern of patterns) {
    const found = await directory.find(pattern.startsWith('*.') ? `any${pattern.slice(1)}` : pattern)
    // A tenant that is refused when it is looked up is a problem already.
    if (found === undefined || found.pattern !== pattern) continue
    const described = describeTenant(found, port)
    tenants.push(described)
    const name = described.mounts[0]?.processGroup ?? ''
    // Only a literal is the same for every request.
    const isFixed = found.tenant.processGroup.kind === 'literal' && name !== ''
    if (isFixed && !Object.hasOwn(options.processGroups, name)) {
      problems.push({ pattern, message: `the process group '${name}' is not declared: every request is a 500; see processGroups` })
    }
  }
  return { options, tenants, problems }
}

function describeTenant({ pattern, tenant }: FoundTenant, port: number): TenantDescription {
  return {
    pattern,
    kind: tenant.kind,
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
