// npm run bench -- lookup: what it costs to find a host's tenant among ten and among a million, and to read them all.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spread } from './figures.mjs'
import { judgeLookup, showLookup, showLookupVerdict } from './lookup-report.mjs'
import { machineFacts } from './machine.mjs'
import { showMachine } from './report.mjs'

const TABLE = fileURLToPath(new URL('lookup-table.mjs', import.meta.url))
const RESULT = fileURLToPath(new URL('results/lookup.json', import.meta.url))
const ROUNDS = 3
const MANY = [10, 1000, 100_000, 1_000_000]
const SIZES = { 'allow list': MANY, Map: MANY, object: MANY, 'Map of settings': [10, 1000, 100_000], folder: [10, 1000, 20_000] }

const { values } = parseArgs({ options: { 'no-save': { type: 'boolean', default: false } } })
const machine = machineFacts()
console.log(`\n# lookup: a host among ten and among a million\n${showMachine(machine)}\n`)
const tables = Object.entries(SIZES).flatMap(([source, sizes]) => sizes.map((hosts) => ({ source, hosts, rounds: [] })))
for (let round = 0; round < ROUNDS; round += 1) {
  for (const table of round % 2 === 0 ? tables : tables.toReversed()) {
    table.rounds.push(JSON.parse(execFileSync(
      process.execPath, ['--expose-gc', TABLE, table.source, String(table.hosts)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    )))
    process.stderr.write('.')
  }
}
process.stderr.write('\n')
const figures = ({ rounds }) => Object.fromEntries(Object.keys(rounds[0]).map((name) => [name, spread(rounds.map((one) => one[name]))]))
const measured = tables.map((table) => ({ source: table.source, hosts: table.hosts, ...figures(table) }))
const result = { machine, rounds: ROUNDS, tables: measured, ...judgeLookup(measured) }
console.log(`${showLookup(result)}\n\n${showLookupVerdict(result)}`)
if (!values['no-save']) {
  mkdirSync(new URL('results/', import.meta.url), { recursive: true })
  writeFileSync(RESULT, `${JSON.stringify({ case: 'lookup', ...result }, undefined, 2)}\n`)
}
if (!result.targets.every(({ kept }) => kept)) process.exitCode = 1
