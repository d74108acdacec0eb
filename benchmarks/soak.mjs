/**
 * npm run soak -- --minutes 5     a real server, hundreds of tenants, and everything that goes wrong
 *
 *   --tenants 300    how many there are; the server has room for a third of them
 *   --clients 24     how many ask at once, each with a pause between
 *   --lane auto      or relay: the lane of the command
 *   --processes N    daemons that the tenants are in; 0: threads of the command; default: the command's own
 *   --seed S         what is asked, changed and made to fail; default: another one each time
 *   --no-save        leave benchmarks/results/ alone
 *
 * Ends with 1 when a promise is broken; what is promised stands in soak/verdict.mjs.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { machineFacts } from './machine.mjs'
import { showMachine } from './report.mjs'
import { Changes } from './soak/change.mjs'
import { Command } from './soak/command.mjs'
import { Count } from './soak/count.mjs'
import { createRandom, createZipf } from './soak/random.mjs'
import { Tenants } from './soak/tenants.mjs'
import { Traffic } from './soak/traffic.mjs'
import { judgeSoak, showLine, showSoak } from './soak/verdict.mjs'

/** Short, so that a rest is short; and all that ends a context has its turn within minutes. */
const FLAGS = [
  '--idle-timeout', '15s', '--drain-timeout', '6s', '--handler-timeout', '8s', '--deadlock-timeout', '3s',
  '--memory-limit', '96mb', '--max-requests', '2000', '--max-age', '90s', '--max-starts', '3000',
]
const SAMPLE_EVERY = 5000
const MOST_SAMPLES = 200
/** Traffic, then a rest, so many times: what is left at rest is what leaks. */
const ROUNDS = 5
/** A rest is over when no context lives; the longest that may take. */
const REST = 60_000
/** For threads that are ending. */
const QUIET = 2000

const { values } = parseArgs({ options: {
  minutes: { type: 'string', default: '5' },
  tenants: { type: 'string', default: '300' },
  clients: { type: 'string', default: '24' },
  lane: { type: 'string', default: 'auto' },
  processes: { type: 'string' },
  seed: { type: 'string' },
  'no-save': { type: 'boolean', default: false },
} })
const { lane } = values
if (lane !== 'auto' && lane !== 'relay') {
  console.error(`--lane takes auto or relay, not ${JSON.stringify(lane)}`)
  process.exit(2)
}
const settings = {
  minutes: number('minutes', 0.1), tenants: number('tenants', 10), clients: number('clients', 1),
  seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : number('seed', 0),
}

const machine = machineFacts()
console.log(`# soak: ${settings.minutes} minutes, ${settings.tenants} tenants, ${settings.clients} clients, --lane ${lane} --seed ${settings.seed}`)
console.log(`${showMachine(machine)}\n`)

const since = performance.now()
const random = createRandom(settings.seed)
const tenants = new Tenants(settings.tenants)
const count = new Count()
const samples = []
let killed = 0
const processFlags = values.processes === undefined ? [] : ['--processes', String(number('processes', 0))]
const maxContexts = Math.max(4, Math.ceil(settings.tenants / 3))
const command = new Command(tenants.folder, [...FLAGS, '--lane', lane, ...processFlags, '--max-contexts', String(maxContexts)])
const cleanUp = () => {
  command.kill()
  tenants.remove()
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    cleanUp()
    process.exit(1)
  })
}
const result = await run().finally(cleanUp)
console.log(`\n${showSoak(result)}`)
if (!values['no-save']) {
  writeFileSync(new URL('results/soak.json', import.meta.url), `${JSON.stringify(result, undefined, 2)}\n`)
}
if (!result.targets.every(({ kept }) => kept)) process.exitCode = 1

async function run() {
  const url = await command.listening()
  const empty = command.figures()
  const rests = [{ ...empty, phase: 'empty' }]
  for (let round = 1; round <= ROUNDS; round += 1) {
    await play(url, (settings.minutes * 60_000) / ROUNDS, round === 1)
    rests.push(await rest())
  }
  const ended = await command.stop()
  const { latencies, ...counted } = count
  const { born, gone, evicted, stillborn, complaints, lanes, leftBehind } = command
  const found = {
    requests: { ...counted, p50: latencies.percentile(0.5), p99: latencies.percentile(0.99) },
    lane, lanes, leftBehind, contexts: { born, gone, evicted, stillborn, maxContexts, daemonsKilled: killed }, rests, samples: thinned(), ended, complaints,
  }
  return { case: 'soak', machine, settings, ...found, targets: judgeSoak(found) }
}

/** Traffic, faults and changes for so long; `killing`: once, whole daemons die under it. */
async function play(url, milliseconds, killing) {
  const traffic = new Traffic({ url, clients: settings.clients, command, tenants, count, random, lane })
  const pickHost = createZipf(tenants.hosts, 1, random)
  const changes = new Changes({ command, tenants, pickHost, random, lane })
  const until = performance.now() + milliseconds
  let left = killing ? 1 : 0
  try {
    while (performance.now() < until) {
      if (left > 0 && performance.now() > until - milliseconds / 2) {
        left -= 1
        killed += command.killDaemons()
      }
      await Promise.race([sleep(Math.min(SAMPLE_EVERY, Math.max(1, until - performance.now()))), failed()])
      sample('play')
    }
  } finally {
    await Promise.all([traffic.stop(), changes.stop()])
  }
}

/** Nobody asks: every group is idle, ends, and gives back what it had. */
async function rest() {
  for (let waited = 0; command.alive > 0 && waited < REST; waited += 500) await Promise.race([sleep(500), failed()])
  await sleep(QUIET)
  return sample('rest')
}

function sample(phase) {
  const { sent, answered, left, lost, stale } = count
  const sum = (counts) => Object.values(counts).reduce((total, value) => total + value, 0)
  const found = {
    phase, seconds: Math.round((performance.now() - since) / 1000), sent, answered, left, refused: sum(count.refused), died: sum(count.died),
    lost, stale, born: command.born, gone: sum(command.gone), ...command.figures(),
  }
  samples.push(found)
  console.log(showLine(found))
  return found
}

/** Every rest, and of the rest of a long run as much as a file should hold. */
function thinned() {
  const step = Math.ceil(samples.length / MOST_SAMPLES)
  return samples.filter(({ phase }, index) => phase === 'rest' || index % step === 0)
}

async function failed() {
  const { code, signal } = await command.ended
  throw new Error(`the server ended with ${signal ?? code}:\n${command.complaints.join('\n')}`)
}

function number(name, least) {
  const value = Number(values[name])
  if (!(value >= least)) {
    console.error(`--${name} takes a number from ${least}, not ${JSON.stringify(values[name])}`)
    process.exit(2)
  }
  return value
}
