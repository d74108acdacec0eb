const FIRST = 1000
const MOST = 60_000

/**
 * How long a group waits after its `failures`th failure in a row: a second, doubled
 * each time up to a minute, of which the upper half is left to chance so that many
 * groups that failed together do not return together.
 */
export function backOff(failures: number, random: number): number {
  if (failures <= 0) return 0
  const full = Math.min(MOST, FIRST * 2 ** Math.min(failures - 1, 16))
  return full / 2 + (full / 2) * random
}

/** The failures of a group in a row, and when it may start again. */
export class Failures {
  #count = 0
  #until = 0

  get count(): number {
    return this.#count
  }

  /** Before this moment nothing starts. */
  get until(): number {
    return this.#until
  }

  add(now: number, random: number): void {
    this.#count++
    this.#until = now + backOff(this.#count, random)
  }

  forget(): void {
    this.#count = 0
    this.#until = 0
  }
}
