// Chance that can be repeated: the same seed asks for the same things.

/** Numbers from 0 to below 1 (mulberry32). */
export function createRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Picks by weight: `entries` is a list of [value, weight]. */
export function createPick(entries, random) {
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0)
  return () => {
    let left = random() * total
    for (const [value, weight] of entries) {
      left -= weight
      if (left < 0) return value
    }
    return entries.at(-1)[0]
  }
}

/** Zipf: the value of rank r comes 1/r^exponent as often as the first. */
export function createZipf(values, exponent, random) {
  const sums = []
  let sum = 0
  for (let rank = 1; rank <= values.length; rank += 1) sums.push(sum += 1 / rank ** exponent)
  return () => {
    const at = random() * sum
    let [low, high] = [0, sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] <= at) low = middle + 1
      else high = middle
    }
    return values[low]
  }
}
