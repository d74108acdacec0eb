/**
 * npm run bench                 every case but churn and descriptors
 * npm run bench -- relay        one or more of them
 * npm run bench -- goals        those of which goals.mjs asks something, but those two
 * npm run bench -- churn        20,000 contexts made and evicted: a quarter of an hour
 * npm run bench -- descriptors  100,000 connections handed over to contexts that die: twenty minutes
 *
 *   --rounds 5 --seconds 3 --warmup 3    how long, where a case loads a server
 *   --connections N                      instead of the case's own
 *   --contenders bare,relay              instead of the case's own; the first is the bound; not saved
 *   --contexts N                         of churn; default 20,000
 *   --no-save                            leave benchmarks/results/ alone
 *   --pages                              measure nothing: write the saved results into the pages that show them
 *
 * A goal that is missed is said and fails nothing; a wrong answer ends the run with 1.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cases, NAMED_ONLY } from './cases.mjs'
import { contenders } from './contenders.mjs'
import { goals, judge } from './goals.mjs'
import { machineFacts } from './machine.mjs'
import { fillPage, PAGES, showGoals, showMachine, showResult } from './report.mjs'

/**
 * Seconds that are thrown away before a server is measured: V8 goes on compiling for so long. p99 of hello world in its
 * first seconds, one after another: 2.6, 0.74, 0.85 and then 0.7 ms bare, 3.7, 1.1, 1.5 and then 0.9 ms handed over.
 */
const WARM_UP = 3

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    warmup: { type: 'string', default: String(WARM_UP) },
    connections: { type: 'string' },
    contenders: { type: 'string' },
    contexts: { type: 'string', default: '20000' },
    'no-save': { type: 'boolean', default: false },
    pages: { type: 'boolean', default: false },
  },
})

const usual = Object.keys(cases).filter((name) => !NAMED_ONLY.includes(name))
const asked = positionals.length === 0 ? usual : positionals.flatMap((name) =>
  name === 'goals' ? usual.filter((one) => goals.some((goal) => goal.case === one)) : [name])
refuse('case', asked, Object.keys(cases))
const named = values.contenders?.split(',')
refuse('contender', named ?? [], Object.keys(contenders))

if (values.pages) writePages()
else await runAll()

function writePages() {
  for (const page of PAGES.map((name) => here(`../${name}`)).filter((file) => existsSync(file))) {
    writeFileSync(page, fillPage(readFileSync(page, 'utf8')))
  }
}

async function runAll() {
  const settings = {
    rounds: count('rounds'),
    seconds: count('seconds'),
    warmup: count('warmup'),
    contexts: count('contexts'),
    connections: values.connections === undefined ? undefined : count('connections'),
    contenders: named,
    progress: () => process.stderr.write('.'),
  }
  const judged = []
  for (const name of asked) {
    const result = await runCase(name, settings)
    judged.push(...goals.filter((goal) => goal.case === name).map((goal) => judge(goal, result)))
  }
  if (judged.length > 0) console.log(`\n# goals\n\n${showGoals(judged)}`)
}

async function runCase(name, settings) {
  const machine = machineFacts()
  const since = performance.now()
  console.log(`\n# ${name}: ${cases[name].about}\n${showMachine(machine)}\n`)
  const found = await cases[name].run(settings)
  const took = Math.round((performance.now() - since) / 1000)
  process.stderr.write('\n')
  const { rounds, seconds, warmup } = settings
  const result = { case: name, about: cases[name].about, machine, settings: { rounds, seconds, warmup }, took, ...found }
  console.log(`${showResult(result)}\n\n${took} s`)
  if (!values['no-save'] && named === undefined) {
    mkdirSync(here('results'), { recursive: true })
    writeFileSync(here(`results/${name}.json`), `${JSON.stringify(result, undefined, 2)}\n`)
  }
  return result
}

function refuse(kind, names, known) {
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  console.error(`no such ${kind}: ${unknown.join(', ')}; there are ${known.join(', ')}`)
  process.exit(2)
}

function count(name) {
  const value = Number(values[name])
  if (!Number.isInteger(value) || value < 1) {
    console.error(`--${name} takes a whole number from 1, not ${JSON.stringify(values[name])}`)
    process.exit(2)
  }
  return value
}
