// npm run bench -- coldstart: the first request for a tenant, from its first byte to its answer's last, beside what a bare
// worker needs to import the same application.
import { Agent, get } from 'node:http'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { judgeColdStart, showColdStart, showColdStartVerdict } from './coldstart-report.mjs'
import { spread } from './figures.mjs'
import { machineFacts } from './machine.mjs'
import { showMachine } from './report.mjs'
import { startServer } from './server.mjs'

const RESULT = fileURLToPath(new URL('results/coldstart.json', import.meta.url))
const ROUNDS = 30
/** The first ones fill the disk's cache and compile the front. */
const WARM_UP = 3
const QUIET = 30
const KINDS = ['worker', 'cached', 'cold', 'warm']

const { values } = parseArgs({ options: { 'no-save': { type: 'boolean', default: false } } })
const machine = machineFacts()
console.log(`\n# coldstart: the first request for a tenant\n${showMachine(machine)}\n`)
const agent = new Agent({ keepAlive: true })
const server = await startServer('coldstart')
const rows = []
let names = 0
try {
  for (const app of ['hello', 'express']) rows.push(...await measure(app))
} finally {
  agent.destroy()
  await server.stop()
}
const result = { machine, rounds: ROUNDS, rows, ...judgeColdStart(rows) }
console.log(`\n${showColdStart(result)}\n\n${showColdStartVerdict(result)}`)
if (!values['no-save']) {
  mkdirSync(new URL('results/', import.meta.url), { recursive: true })
  writeFileSync(RESULT, `${JSON.stringify({ case: 'coldstart', ...result }, undefined, 2)}\n`)
}
if (!result.targets.every(({ kept }) => kept)) process.exitCode = 1

async function measure(app) {
  const times = Object.fromEntries(KINDS.map((kind) => [kind, []]))
  const imports = { worker: [], cached: [] }
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const kind of round % 2 === 0 ? KINDS : KINDS.toReversed()) {
      const host = `${kind === 'worker' || kind === 'cached' ? kind : `n${names++}`}.${app}.test`
      if (kind === 'warm') await ask(host)
      const { milliseconds, status, text, headers } = await ask(host)
      if (kind === 'cached' && status === 501) continue
      if (status !== 200 || text !== 'Hello, World!') throw new Error(`${host} answers wrongly: ${status} ${text}`)
      if (round >= 0) {
        times[kind].push(milliseconds)
        imports[kind]?.push(Number(headers['x-import']))
      }
      await ask('end.test')
      await sleep(QUIET)
    }
  }
  return KINDS.filter((kind) => times[kind].length > 0)
    .map((kind) => ({ app, kind, milliseconds: spread(times[kind]), import: imports[kind] && spread(imports[kind]) }))
}

function ask(host) {
  return new Promise((resolve, reject) => {
    const since = performance.now()
    get(server.url, { agent, headers: { host }, timeout: 30_000 }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (part) => { text += part }).on('error', reject)
      incoming.on('end', () => {
        const { statusCode: status, headers } = incoming
        resolve({ milliseconds: performance.now() - since, status, text, headers })
      })
    }).on('timeout', () => reject(new Error(`${host} did not answer`))).on('error', reject)
  })
}
