// What a tenant's clients notice of a neighbour that spins, allocates or crashes: requests at a steady pace, and how long
// each took from when it was due.
import { contenders as known, present } from '../contenders.mjs'
import { client, HOST, OTHER_HOST } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { startServer } from '../server.mjs'
import { checkHosts, checkLane } from './load.mjs'

const CONTENDERS = ['bare', 'relay', 'handoff', 'process-relay', 'process-handoff']
/** Requests a second: far below what any contender can do alone. */
const PACE = 300
const NOISES = {
  'does nothing': undefined,
  spins: ['/spin'],
  allocates: ['/allocate'],
  // Last: one process for both is gone after it.
  crashes: ['/', '/crash'],
}
const COLUMNS = [
  { key: 'p50', title: 'p50 ms', digits: 2, ratio: true },
  { key: 'p99', title: 'p99 ms', digits: 2, ratio: true },
  { key: 'most', title: 'longest ms', digits: 1 },
  { key: 'failed', title: 'failed, %', digits: 1 },
]
/** Spread over the noises, more rounds would take long and say no more. */
const MOST_ROUNDS = 3

export const noisyNeighbour = {
  about: 'One tenant beside another that spins, allocates or crashes.',
  async run({ rounds, seconds, warmup, contenders = CONTENDERS, progress }) {
    const most = Math.min(rounds, MOST_ROUNDS)
    const { there, missing } = present(contenders)
    const measured = await alternate(there, most, (name) => oneRound(name, { seconds, warmup }), progress)
    const names = Object.keys(NOISES)
    return {
      how: `${PACE} requests a second. Medians (lowest-highest) of ${most} rounds of ${seconds} s.`,
      tables: measured.map(([name, all]) => compare({
        title: `${name}, beside a tenant that…`, of: ['…'], columns: COLUMNS, bound: names[0],
        measured: names.map((noise) => [noise, all.map((one) => one[noise])]),
      })),
      notes: missing.map(([name, why]) => `${name} is missing: ${why}.`),
    }
  },
}

async function oneRound(name, { seconds, warmup }) {
  const server = await startServer(name, { BENCH_OTHER: 'noisy-app.mjs' })
  try {
    await checkHosts(server, { hosts: true })
    const found = {}
    await measure(server.url, undefined, warmup)
    // Now, and not after the noise: connections to a neighbour that has crashed are refused, and stay in the front.
    await checkLane(server, known[name])
    for (const [noise, paths] of Object.entries(NOISES)) {
      const { p50, p99, most, failed, requests } = await measure(server.url, paths, seconds)
      if (paths === undefined && failed > 0) throw new Error(`${name} answers wrongly without a neighbour: ${failed} of ${requests} failed`)
      found[noise] = { p50, p99, most, failed: (100 * failed) / requests }
    }
    return found
  } finally {
    await server.stop()
  }
}

function measure(url, paths, seconds) {
  const noise = paths === undefined ? undefined : { host: OTHER_HOST, paths, connections: 2 }
  return client('steady', url, { host: HOST, pace: PACE, seconds, noise })
}
