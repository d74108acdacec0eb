import { ANY_PATTERN, DEFAULT_PATTERN } from './host.ts'

/**
 * What is known of each canonical pattern: a host, `*.domain` (any depth below, not the domain itself), `_default`, `*`.
 * An exact host comes before the longest wildcard, a wildcard before `_default`, and `*` last.
 *
 * A look-up costs one Map access and one more for each label, whatever the size of the table.
 */
export class HostTable<T> {
  readonly #exact = new Map<string, T>()
  readonly #wildcards = new Map<string, T>()
  #longest = 0
  #default: T | undefined
  #any: T | undefined

  /** The latest of a pattern counts. */
  set(pattern: string, value: T): void {
    if (pattern === DEFAULT_PATTERN) {
      this.#default = value
    } else if (pattern === ANY_PATTERN) {
      this.#any = value
    } else if (pattern.startsWith('*.')) {
      const domain = pattern.slice(2)
      this.#wildcards.set(domain, value)
      this.#longest = Math.max(this.#longest, domain.length)
    } else {
      this.#exact.set(pattern, value)
    }
  }

  /** What the most exact pattern for a canonical host holds. */
  match(host: string): T | undefined {
    return this.#exact.get(host) ?? this.#wildcard(host) ?? this.#default ?? this.#any
  }

  /** Walks up the labels from where the longest domain could start: 127 labels cost no more than a few. */
  #wildcard(host: string): T | undefined {
    if (this.#wildcards.size === 0) return undefined
    let dot = host.indexOf('.', Math.max(1, host.length - this.#longest - 1))
    while (dot !== -1) {
      const value = this.#wildcards.get(host.slice(dot + 1))
      if (value !== undefined) return value
      dot = host.indexOf('.', dot + 1)
    }
    return undefined
  }
}
