import { TenantryError } from '../errors.ts'
import { ANY_PATTERN, canonicalPattern, DEFAULT_PATTERN } from './host.ts'
import { quoted } from './quoted.ts'

/** Which hosts may be asked for at all. */
export interface AllowList {
  /** The rule that allows a canonical host, the most exact one; undefined where none does. */
  match(host: string): string | undefined
}

/**
 * An allow list of hosts, `*.domain` (any depth below, not the domain itself),
 * `_default` and `*`; `true` allows every host. An exact host comes before the
 * longest wildcard, a wildcard before `_default`, and `*` last.
 *
 * A look-up costs one Map access and one more for each label, whatever the size
 * of the list. Throws ERR_OPTION_INVALID for a rule that is neither.
 */
export function createAllowList(patterns: readonly string[] | true): AllowList {
  const exact = new Map<string, string>()
  const wildcards = new Map<string, string>()
  let longest = 0
  let fallback: string | undefined = patterns === true ? ANY_PATTERN : undefined
  for (const text of patterns === true ? [] : patterns) {
    const pattern = checked(text)
    if (pattern === DEFAULT_PATTERN || pattern === ANY_PATTERN) {
      if (fallback !== DEFAULT_PATTERN) fallback = pattern
    } else if (pattern.startsWith('*.')) {
      const domain = pattern.slice(2)
      wildcards.set(domain, pattern)
      longest = Math.max(longest, domain.length)
    } else {
      exact.set(pattern, pattern)
    }
  }

  function match(host: string): string | undefined {
    return exact.get(host) ?? wildcard(host) ?? fallback
  }

  /** Walks up the labels from where the longest domain could start: 127 labels cost no more than a few. */
  function wildcard(host: string): string | undefined {
    if (wildcards.size === 0) return undefined
    let dot = host.indexOf('.', Math.max(1, host.length - longest - 1))
    while (dot !== -1) {
      const pattern = wildcards.get(host.slice(dot + 1))
      if (pattern !== undefined) return pattern
      dot = host.indexOf('.', dot + 1)
    }
    return undefined
  }

  return { match }
}

function checked(text: string): string {
  try {
    return canonicalPattern(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const message = `allowedHosts: ${quoted(text)} is not a host, "*.domain", "_default" or "*" (${why})`
    throw new TenantryError('ERR_OPTION_INVALID', message, { cause: error })
  }
}
