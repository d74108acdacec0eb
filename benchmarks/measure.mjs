// What every comparison shares: rounds in alternating order, and a table of medians with ratios, round by round.
import { spread } from './figures.mjs'

/**
 * Runs `once(name, round)` for every name in every round, each second round backwards; resolves with
 * [[name, figures of each round]] in the order of the names.
 */
export async function alternate(names, rounds, once, progress = () => {}) {
  const found = new Map(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      found.get(name).push(await once(name, round))
      progress()
    }
  }
  return [...found]
}

/**
 * A table of what `alternate` found. Ratios are to the row `bound`, round by round: what the machine does to one round
 * it does to both. `missing`: contenders that this machine has not, each with the reason.
 */
export function compare({ title, of = ['server'], columns, measured, bound, missing = [] }) {
  const bounds = measured.find(([name]) => name === bound)?.[1]
  const rows = measured.map(([name, rounds]) => ({
    names: [name].flat(),
    rounds,
    values: Object.fromEntries(columns.map(({ key }) => [key, spread(rounds.map((round) => round[key]))])),
    ratios: bounds === undefined || name === bound ? {} : Object.fromEntries(columns.filter(({ ratio }) => ratio).map(({ key }) =>
      [key, spread(rounds.map((round, index) => ratioOf(round[key], bounds[index]?.[key])))])),
  }))
  return { title, of, columns, bound, rows: [...rows, ...missing.map(([name, why]) => ({ names: [name].flat(), missing: why }))] }
}

function ratioOf(value, bound) {
  return value === undefined || !bound ? undefined : value / bound
}
