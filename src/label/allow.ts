import { TenantryError } from '../errors.ts'
import { ANY_PATTERN, canonicalPattern } from './host.ts'
import { HostTable } from './host-table.ts'
import { quoted } from './quoted.ts'

/** Which hosts may be asked for at all. */
export interface AllowList {
  /** The rule that allows a canonical host, the most exact one; undefined where none does. */
  match(host: string): string | undefined
}

/**
 * An allow list of hosts, `*.domain`, `_default` and `*`; `true` allows every host. Which comes first, and what a look-up
 * costs: see HostTable. Throws ERR_OPTION_INVALID for a rule that is none of these.
 */
export function createAllowList(patterns: readonly string[] | true): AllowList {
  const table = new HostTable<string>()
  for (const text of patterns === true ? [ANY_PATTERN] : patterns) {
    const pattern = checked(text)
    table.set(pattern, pattern)
  }
  return table
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
