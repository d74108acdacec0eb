/** The known word that a mistyped one is nearest to, for "did you mean"; case does not count. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const wanted = word.slice(0, 64).toUpperCase()
  let best: string | undefined
  let least = Infinity
  for (const candidate of known) {
    const cost = distance(wanted, candidate.toUpperCase())
    if (cost < least) {
      least = cost
      best = candidate
    }
  }
  return best
}

/** Levenshtein's edit distance, one row at a time. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[to.length] as number
}
