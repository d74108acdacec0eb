// Results as tables: for the terminal, and for pages. Every case has the same shape (tables of rows, notes, goals), so that
// a result file can be shown by whoever knows nothing of its case. A page holds no number that no result file holds:
//
//     <!-- benchmark: relay -->
//     …this part is written by `npm run bench -- --pages`…
//     <!-- /benchmark -->
import { existsSync, readFileSync } from 'node:fs'
import { showValue, table } from './figures.mjs'
import { goals, judge } from './goals.mjs'
import { showSoakPart } from './soak/verdict.mjs'

export const PAGES = ['README.md', 'benchmarks/README.md']

const MARKED = /(<!-- benchmark: ([\w-]+) -->\n)[\s\S]*?(<!-- \/benchmark -->)/g

export function showMachine({ cpu, processors, node, kernel, generator }) {
  return `${cpu}, ${processors} processors, ${kernel}, Node ${node}, ${generator}`
}

/** All tables of a result and what it notes. */
export function showResult({ tables, notes = [] }) {
  return [...tables.map((one) => one.title === undefined ? showTable(one) : `${one.title}:\n\n${showTable(one)}`), ...notes].join('\n\n')
}

/** One row for each contender; after each figure that is compared its ratio to the bound. */
function showTable({ of, columns, bound, rows }) {
  const compared = rows.length > 1 && bound !== undefined
  const withRatio = ({ ratio }) => compared && ratio
  const head = columns.flatMap((column) => withRatio(column) ? [column.title, 'ratio'] : [column.title])
  const cells = rows.map(({ names, values = {}, ratios = {}, missing }) => {
    if (missing !== undefined) return [...names, `missing: ${missing}`, ...head.slice(1).map(() => '-')]
    return [...names, ...columns.flatMap((column) => {
      const value = showValue(values[column.key], column.digits)
      if (!withRatio(column)) return [value]
      return [value, names[0] === bound ? '1' : showValue(ratios[column.key], 2)]
    })]
  })
  return table([...of, ...head], cells)
}

/** Every goal with what was found. */
export function showGoals(judged) {
  return table(['goal', 'bound', 'found', ''], judged.map(({ what, bound, found, digits, kept }) =>
    [what, bound, found === undefined ? '-' : showValue(found, digits), kept === undefined ? 'not measured' : kept ? 'kept' : 'MISSED']))
}

/** A page's text with every marked part written anew from its result file. */
export function fillPage(text) {
  return text.replace(MARKED, (_, open, name, close) => `${open}${showPart(name)}\n${close}`)
}

function showPart(name) {
  if (name === 'goals') return showGoals(goals.map((goal) => judge(goal, readResult(goal.case))))
  const saved = readResult(name)
  if (saved === undefined) return 'Not measured yet.'
  if (name === 'soak') return `${showSoakPart(saved)} ${whereAndWhen(saved)}`
  return `${showResult(saved)}\n\n${saved.how} ${whereAndWhen(saved)}`
}

function readResult(name) {
  const file = new URL(`results/${name}.json`, import.meta.url)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

function whereAndWhen({ machine }) {
  return `${showMachine(machine)}; ${machine.date.slice(0, 10)}.`
}
