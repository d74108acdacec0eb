import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'

/** Keys that are counted apart at the same time; the least recently used one is forgotten. */
const MAX_KEYS = 1000

interface Window {
  readonly endsAt: number
  passed: number
  suppressed: number
}

export interface RateLimitOptions {
  /** Lines of one key that pass in a window. */
  readonly lines: number
  /** Milliseconds. */
  readonly window: number
  readonly clock: Clock
  /** Told once when a window ends in which lines of this key were held back. */
  readonly onSuppressed: (key: string, count: number) => void
}

/** So many lines of a key pass in a window, the rest are counted: nobody can fill a disk through the log. */
export class RateLimit {
  readonly #options: RateLimitOptions
  readonly #windows: LRUCache<string, Window>
  #stopTimer: (() => void) | undefined

  constructor(options: RateLimitOptions) {
    this.#options = options
    this.#windows = new LRUCache({ max: MAX_KEYS, dispose: (window, key) => this.#report(key, window) })
  }

  /** Whether a line of this key may be written now. */
  pass(key: string): boolean {
    const now = this.#options.clock.now()
    let window = this.#windows.get(key)
    if (window === undefined || now >= window.endsAt) {
      // Replacing disposes of the old window, which reports what it held back.
      window = { endsAt: now + this.#options.window, passed: 0, suppressed: 0 }
      this.#windows.set(key, window)
    }
    if (window.passed < this.#options.lines) {
      window.passed++
      return true
    }
    window.suppressed++
    // One timer for all keys: what was held back is reported even if nothing comes any more.
    this.#stopTimer ??= this.#options.clock.after(this.#options.window, () => this.flush())
    return false
  }

  /** Reports everything that was held back, and starts every window anew. */
  flush(): void {
    this.#stopTimer?.()
    this.#stopTimer = undefined
    this.#windows.clear()
  }

  #report(key: string, window: Window): void {
    if (window.suppressed > 0) this.#options.onSuppressed(key, window.suppressed)
  }
}
