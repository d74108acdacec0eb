// Results as tables: for the terminal, and for pages. A page holds no number that no result file holds:
//
//     <!-- benchmark: relay -->
//     …this part is written by `npm run bench -- --pages`…
//     <!-- /benchmark -->
import { readFileSync } from 'node:fs'
import { cases, figures } from './cases.mjs'
import { showChurn, showChurnVerdict } from './churn-report.mjs'
import { showColdStart, showColdStartVerdict } from './coldstart-report.mjs'
import { showSpread, table } from './figures.mjs'
import { showLookup, showLookupVerdict } from './lookup-report.mjs'
import { showSoakPart } from './soak/verdict.mjs'

export const PAGES = ['README.md', 'benchmarks/README.md']

const MARKED = /(<!-- benchmark: (\w+) -->\n)[\s\S]*?(<!-- \/benchmark -->)/g

/** Results without contenders, that show themselves in another way. */
const OWN_PARTS = {
  churn: (saved) => `${showChurn(saved)}\n\n${showChurnVerdict(saved)}`,
  coldstart: (saved) => `${showColdStart(saved)}\n\n${showColdStartVerdict(saved)}`,
  lookup: (saved) => `${showLookup(saved)}\n\n${showLookupVerdict(saved)}`,
  soak: (saved) => showSoakPart(saved),
}

export function showMachine({ cpu, processors, node, kernel, generator }) {
  return `${cpu}, ${processors} processors, ${kernel}, Node ${node}, ${generator}`
}

/** One row for each contender; after each figure its ratio to the first of them. */
export function showResult(name, { contenders }) {
  const { columns } = cases[name]
  const hasRatio = (column) => figures[column].bytes !== true
  const head = columns.flatMap((column) => hasRatio(column) ? [figures[column].title, 'ratio'] : [figures[column].title])
  const rows = contenders.map(({ name: server, figures: own, ratios }, index) => [server, ...columns.flatMap((column) => {
    const value = showSpread(own[column], figures[column].digits)
    if (!hasRatio(column)) return [value]
    return [value, index === 0 ? '1' : showSpread(ratios[column], 2)]
  })])
  return table(['server', ...head], rows)
}

export function showTargets({ targets }) {
  return targets.map(({ contender, figure, target, value, kept }) => {
    const said = kept === undefined ? 'not measurable here' : kept ? 'kept' : 'MISSED'
    return `${contender}: ${figures[figure].title} ${target}: ${value?.toFixed(2) ?? '-'}, ${said}`
  }).join('\n')
}

/** A page's text with every marked part written anew from its result file. */
export function fillPage(text) {
  return text.replace(MARKED, (_, open, name, close) => {
    const saved = JSON.parse(readFileSync(new URL(`results/${name}.json`, import.meta.url), 'utf8'))
    if (name in OWN_PARTS) return `${open}${OWN_PARTS[name](saved)} ${whereAndWhen(saved)}\n${close}`
    const { rounds, seconds } = saved.run
    const caption = `Median (lowest-highest) of ${rounds} rounds of ${seconds} s, ${saved.settings.connections} connections; `
      + whereAndWhen(saved)
    return `${open}${showResult(name, saved)}\n\n${caption}\n${close}`
  })
}

function whereAndWhen({ machine }) {
  return `${showMachine(machine)}; ${machine.date.slice(0, 10)}.`
}
