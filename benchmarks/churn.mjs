// npm run bench -- churn: one process makes and evicts 20,000 contexts. What does each leave behind?
import { Agent, get } from 'node:http'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { judgeChurn, showChurn, showChurnVerdict } from './churn-report.mjs'
import { machineFacts } from './machine.mjs'
import { showMachine } from './report.mjs'
import { startServer } from './server.mjs'

const RESULT = fileURLToPath(new URL('results/churn.json', import.meta.url))
const AT_ONCE = 2
const SAMPLES = 40
/** What was told to end before a sample is gone by then. */
const QUIET = 500

const { values } = parseArgs({ options: {
  contexts: { type: 'string', default: '20000' },
  'no-save': { type: 'boolean', default: false },
} })
const contexts = Number(values.contexts)
if (!Number.isInteger(contexts) || contexts < SAMPLES) {
  console.error(`--contexts takes a whole number from ${SAMPLES}, not ${JSON.stringify(values.contexts)}`)
  process.exit(2)
}

const machine = machineFacts()
console.log(`\n# churn: ${contexts} contexts, made and evicted in one process\n${showMachine(machine)}\n`)
const agent = new Agent({ keepAlive: true })
const server = await startServer('churn')
const since = performance.now()
const samples = []
let asked = 0
try {
  await sample()
  for (let part = 1; part <= SAMPLES; part += 1) {
    await churnTo(Math.round((contexts * part) / SAMPLES))
    await sample()
  }
} finally {
  agent.destroy()
  await server.stop()
}

const result = { machine, contexts, samples, ...judgeChurn(samples) }
console.log(`\n${showChurn(result)}\n\n${showChurnVerdict(result)}`)
if (!values['no-save']) {
  mkdirSync(new URL('results/', import.meta.url), { recursive: true })
  writeFileSync(RESULT, `${JSON.stringify({ case: 'churn', ...result }, undefined, 2)}\n`)
}
if (!result.targets.every(({ kept }) => kept)) process.exitCode = 1

/** Each name was never asked before, so each request is a birth, and the eviction of whoever is worth least. */
async function churnTo(goal) {
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (asked < goal) {
      const host = `n${asked++}.churn.example.test`
      const { status, text } = await ask(host)
      if (status !== 200 || text !== 'Hello, World!') throw new Error(`${host} answers wrongly: ${status} ${text}`)
    }
  }))
}

async function sample() {
  await sleep(QUIET)
  const { text } = await ask('figures.example.test')
  const seconds = Math.round((performance.now() - since) / 1000)
  const found = { asked, seconds, ...JSON.parse(text) }
  samples.push(found)
  console.log(`${seconds} s: ${found.births} born, ${(found.residentCollected / 2 ** 20).toFixed(1)} MB, `
    + `${found.descriptors} descriptors, ${found.threads} threads`)
}

function ask(host) {
  return new Promise((resolve, reject) => {
    const outgoing = get(server.url, { agent, headers: { host }, timeout: 30_000 }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (part) => { text += part }).on('error', reject)
      incoming.on('end', () => resolve({ status: incoming.statusCode, text }))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${host} did not answer`)))
    outgoing.on('error', reject)
  })
}
