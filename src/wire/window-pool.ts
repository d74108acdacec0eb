/**
 * What all streams of one context may have under way beyond their first windows. It is the front's: a context that
 * sends more than it was allowed to breaks the protocol.
 */
export class WindowPool {
  #left: number

  constructor(bytes: number) {
    this.#left = bytes
  }

  /** False when there is not so much left. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }

  give(bytes: number): void {
    this.#left += bytes
  }
}
