/**
 * npm run bench                 every case but churn
 * npm run bench -- relay        one or more of them
 * npm run bench -- churn        20,000 contexts made and evicted: a quarter of an hour
 *
 *   --rounds 5 --seconds 5 --warmup 2    how long
 *   --connections N                      instead of the case's own
 *   --contenders bare,relay              instead of the case's own; the first is the bound; not saved
 *   --contexts N                         of churn; default 20,000
 *   --no-save                            leave benchmarks/results/ alone
 *   --pages                              measure nothing: write the saved results into the pages that show them
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cases } from './cases.mjs'
import { machineFacts } from './machine.mjs'
import { measure } from './measure.mjs'
import { fillPage, PAGES, showMachine, showResult, showTargets } from './report.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

/** No contenders to compare, so programs of their own: a simulation, tables of hosts, first requests, and memory over many contexts. */
const PROGRAMS = { policy: here('policy.mjs'), lookup: here('lookup.mjs'), coldstart: here('coldstart.mjs'), churn: here('churn.mjs') }

/** Takes longer than all others together: only for who names it. */
const NAMED_ONLY = ['churn']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '2' },
    connections: { type: 'string' },
    contenders: { type: 'string' },
    contexts: { type: 'string' },
    'no-save': { type: 'boolean', default: false },
    pages: { type: 'boolean', default: false },
  },
})

const known = [...Object.keys(cases), ...Object.keys(PROGRAMS)]
const unknown = positionals.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`no such case: ${unknown.join(', ')}; there are ${known.join(', ')}`)
  process.exit(2)
}

if (values.pages) writePages()
else for (const name of positionals.length > 0 ? positionals : known.filter((name) => !NAMED_ONLY.includes(name))) {
  if (name in PROGRAMS) await runProgram(PROGRAMS[name], flagsOf(name))
  else await runCase(name)
}

function writePages() {
  for (const page of PAGES.map((name) => here(`../${name}`)).filter((file) => existsSync(file))) {
    writeFileSync(page, fillPage(readFileSync(page, 'utf8')))
  }
}

function flagsOf(program) {
  const contexts = program === 'churn' && values.contexts !== undefined ? ['--contexts', values.contexts] : []
  return [...contexts, ...(values['no-save'] && program !== 'policy' ? ['--no-save'] : [])]
}

async function runProgram(file, flags) {
  if (!existsSync(file)) throw new Error(`${file} is missing`)
  const [code] = await once(spawn(process.execPath, [file, ...flags], { stdio: 'inherit' }), 'exit')
  if (code !== 0) process.exitCode = 1
}

async function runCase(name) {
  const machine = machineFacts()
  const settings = {
    rounds: count('rounds'),
    seconds: count('seconds'),
    warmup: count('warmup'),
    connections: values.connections === undefined ? undefined : count('connections'),
    contenders: values.contenders?.split(','),
  }
  console.log(`\n# ${name}: ${cases[name].about}`)
  console.log(`${showMachine(machine)}\n`)
  const result = await measure(name, { ...settings, onRound: () => process.stderr.write('.') })
  process.stderr.write('\n')
  console.log(`${showResult(name, result)}\n\n${showTargets(result)}`)
  if (result.targets.some(({ kept }) => kept === false)) process.exitCode = 1
  if (values['no-save'] || values.contenders !== undefined) return
  mkdirSync(here('results'), { recursive: true })
  const { rounds, seconds, warmup } = settings
  const text = JSON.stringify({ case: name, machine, run: { rounds, seconds, warmup }, ...result }, undefined, 2)
  writeFileSync(here(`results/${name}.json`), `${text}\n`)
}

function count(name) {
  const value = Number(values[name])
  if (!Number.isInteger(value) || value < 1) {
    console.error(`--${name} takes a whole number from 1, not ${JSON.stringify(values[name])}`)
    process.exit(2)
  }
  return value
}
