import os from 'node:os'
import { warmUp } from './measure.ts'
import { TREE_SOURCE } from './process-tree.ts'
import type { Contender } from './contenders.ts'
import type { Measured, Plan, Round } from './measure.ts'

/** A median over rounds, with the lowest and the highest. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export type FigureName = 'requestsPerSecond' | 'p50' | 'p99' | 'p999' | 'cpu' | 'memory' | 'peakMemory' | 'coldStart'

/** Figures as people read them: title, unit, digits, and what one of the round's numbers is divided by for it. */
export interface Figure {
  readonly name: FigureName
  readonly title: string
  readonly unit: string
  readonly digits: number
  readonly divisor: number
  readonly better: 'more' | 'less'
}

const MEGABYTE = 1024 * 1024

export const FIGURES: readonly Figure[] = [
  { name: 'requestsPerSecond', title: 'requests', unit: '/s', digits: 0, divisor: 1, better: 'more' },
  { name: 'p50', title: 'p50', unit: 'ms', digits: 2, divisor: 1, better: 'less' },
  { name: 'p99', title: 'p99', unit: 'ms', digits: 2, divisor: 1, better: 'less' },
  { name: 'p999', title: 'p99.9', unit: 'ms', digits: 2, divisor: 1, better: 'less' },
  { name: 'cpu', title: 'CPU', unit: 'µs/request', digits: 1, divisor: 1, better: 'less' },
  { name: 'memory', title: 'memory', unit: 'MB', digits: 0, divisor: MEGABYTE, better: 'less' },
  { name: 'peakMemory', title: 'peak', unit: 'MB', digits: 0, divisor: MEGABYTE, better: 'less' },
  { name: 'coldStart', title: 'cold start', unit: 'ms', digits: 0, divisor: 1, better: 'less' },
]

export interface Row {
  readonly name: string
  readonly about: string
  /** Over the rounds; null: this system does not say. */
  readonly figures: Readonly<Record<FigureName, Spread | null>>
  /** This row divided by `bare`, round by round. */
  readonly ratios: Readonly<Record<FigureName, Spread | null>>
  /** Percent and milliseconds, medians over the rounds. */
  readonly latencies: readonly (readonly [percent: number, milliseconds: number])[]
  readonly rounds: readonly Round[]
}

/** What was measured, where and how: the documented shape of --json. */
export interface Summary {
  readonly tenantry: string
  readonly node: string
  readonly date: string
  readonly machine: {
    readonly cpu: string
    readonly processors: number
    readonly memory: number
    readonly system: string
    readonly loadAverageBefore: number
  }
  readonly entry: string
  readonly host: string
  readonly requests: readonly { readonly method: string; readonly path: string; readonly status: number; readonly bytes: number }[]
  /** Milliseconds for durations. */
  readonly settings: {
    readonly connections: number
    readonly warmup: number
    readonly duration: number
    readonly rounds: number
    readonly compared: boolean
  }
  readonly rows: readonly Row[]
  /** What a reader must know to read the figures rightly. */
  readonly notes: readonly string[]
}

/** Facts that stand before anything is measured. */
export interface Occasion {
  readonly version: string
  readonly entry: string
  readonly date: Date
  readonly loadAverageBefore: number
}

export function summarise(plan: Plan, { contenders, answers, rounds }: Measured, { version, entry, date, loadAverageBefore }: Occasion): Summary {
  const bare = rounds[0] as readonly Round[]
  const rows = contenders.map(({ name, about }, index): Row => {
    const own = rounds[index] as readonly Round[]
    const of = (pick: (round: Round, at: number, figure: FigureName) => number | undefined): Row['figures'] =>
      Object.fromEntries(FIGURES.map((figure) => [figure.name, spread(own.map((round, at) => pick(round, at, figure.name)))])) as Row['figures']
    return {
      name,
      about,
      figures: of((round, _, figure) => round[figure]),
      ratios: of((round, at, figure) => ratio(round[figure], bare[at]?.[figure])),
      latencies: (own[0] as Round).latencies.map(([percent], at) =>
        [percent, spread(own.map(({ latencies }) => latencies[at]?.[1]))?.median ?? 0]),
      rounds: own,
    }
  })
  const [first] = plan.requests
  return {
    tenantry: version,
    node: process.version,
    date: date.toISOString(),
    machine: {
      cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
      processors: os.availableParallelism(),
      memory: os.totalmem(),
      system: `${os.type()} ${os.release()} ${os.arch()}`,
      loadAverageBefore,
    },
    entry,
    host: first?.host ?? '',
    requests: plan.requests.map(({ method, path }, at) => ({ method, path, status: answers[at]?.status ?? 0, bytes: answers[at]?.bytes ?? 0 })),
    settings: {
      connections: plan.connections,
      warmup: warmUp(plan.duration),
      duration: plan.duration,
      rounds: plan.rounds,
      compared: plan.compare,
    },
    rows,
    notes: [...notesOf(plan, answers, rows, loadAverageBefore), ...laneNotes(plan, contenders, rows)],
  }
}

function notesOf(plan: Plan, answers: Measured['answers'], rows: readonly Row[], loadBefore: number): string[] {
  const processors = os.availableParallelism()
  const notes = [
    `Load generator and server share ${processors} ${processors === 1 ? 'processor' : 'processors'}: the ratios count, not the absolute figures.`,
    'Every connection waits for its answer before it asks again: a server that stands still is asked less.',
    'Cold start: the first request for the application, on a server that runs; bare: from the start of its process to its first answer.',
  ]
  if (TREE_SOURCE === '/proc') notes.push('Memory: after the load, with shared pages divided among those who share them (PSS); the peak counts them for each process (RSS).')
  if (TREE_SOURCE === 'ps') notes.push('Memory is resident memory (RSS): what processes share counts for each of them. CPU and memory are what ps says.')
  if (TREE_SOURCE === undefined) notes.push('CPU and memory stay empty: this system does not say what a tree of processes uses.')
  const busy = rows.filter(({ rounds }) => rounds.some(({ generatorBusy }) => generatorBusy > 0.9)).map(({ name }) => name)
  if (busy.length > 0) notes.push(`The load generator had no time left with ${busy.join('; ')}: these could answer more.`)
  if (loadBefore > processors / 2) notes.push(`The machine was busy before (load ${loadBefore.toFixed(1)}): measure again when it is quiet.`)
  const unsteady = rows.filter(({ figures: { requestsPerSecond: found } }) => found !== null && found.max > found.min * 1.2).map(({ name }) => name)
  if (unsteady.length > 0) notes.push(`Rounds differ by more than a fifth with ${unsteady.join('; ')}: more or longer rounds tell more.`)
  if (plan.rounds < 3) notes.push('Fewer than three rounds: a median of them says little.')
  for (const [at, { status }] of answers.entries()) {
    if (status >= 300) notes.push(`${plan.requests[at]?.method} ${plan.requests[at]?.path} is answered with ${status}.`)
  }
  if (!plan.compare) notes.push('The bodies of the answers were not compared.')
  return notes
}

/** What the hand-off rows are not. */
function laneNotes(plan: Plan, contenders: readonly Contender[], rows: readonly Row[]): string[] {
  const notes = []
  if (plan.contenders.some(({ lane, name }) => lane === 'handoff' && !contenders.some((there) => there.name === name))) {
    notes.push('This machine or this Node cannot hand connections over: there are no hand-off rows (docs/lanes.md).')
  }
  for (const { name, rounds } of rows) {
    const kept = rounds.flatMap(({ keptBack }) => Object.entries(keptBack ?? {}))
    const count = kept.reduce((sum, [, found]) => sum + found, 0)
    if (count > 0) notes.push(`${count} connections of ${name} stayed in the front: ${[...new Set(kept.map(([why]) => why))].join(', ')} (docs/lanes.md).`)
  }
  return notes
}

function ratio(value: number | undefined, bare: number | undefined): number | undefined {
  return value === undefined || bare === undefined || bare === 0 ? undefined : value / bare
}

/** null when a value is missing. */
export function spread(values: readonly (number | undefined)[]): Spread | null {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (sorted.length < values.length || min === undefined || max === undefined) return null
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] as number
  return { median: sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2, min, max }
}
