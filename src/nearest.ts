/** Words longer than this get no suggestion: the distance below costs length × length. */
const MAX_WORD = 64

/**
 * The candidate that a misspelt word most likely meant, or undefined when none is near.
 * Case and the separators `-` and `_` do not count, so that `max-groups` finds `maxGroups`.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > MAX_WORD) return undefined
  const wanted = plain(word)
  let best: string | undefined
  // One slip for each three letters: more than that is a different word.
  let bestDistance = Math.floor(wanted.length / 3) + 1
  for (const candidate of candidates) {
    const found = distance(wanted, plain(candidate))
    if (found < bestDistance) {
      best = candidate
      bestDistance = found
    }
  }
  return best
}

/** ` (did you mean maxGroups?)`, or nothing: the end of an error message. */
export function suggestion(word: string, candidates: Iterable<string>): string {
  const found = nearest(word, candidates)
  return found === undefined ? '' : ` (did you mean ${found}?)`
}

function plain(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, '')
}

/** Edits between two words, where swapping two neighbours is one edit (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let edits = Math.min(
        (last[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (last[column - 1] as number) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        edits = Math.min(edits, (beforeLast[column - 2] as number) + 1)
      }
      current.push(edits)
    }
    beforeLast = last
    last = current
  }
  return last[b.length] as number
}
