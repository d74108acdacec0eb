// One tenant that computes, with one thread and with two: what is answered, and how evenly its contexts share the work.
import { setTimeout as sleep } from 'node:timers/promises'
import { contenders as known, present } from '../contenders.mjs'
import { ask, load } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { threadCpuSeconds, treeCpuSeconds } from '../process-tree.mjs'
import { startServer } from '../server.mjs'
import { checkLane } from './load.mjs'

const CONTENDERS = ['relay', 'handoff', 'process-relay', 'process-handoff']
const THREADS = [1, 2]
const CONNECTIONS = 32
const COLUMNS = [
  { key: 'requests', title: 'requests/s', digits: 0, ratio: true },
  { key: 'cpu', title: 'CPU µs/request', digits: 0, ratio: true },
  { key: 'p99', title: 'p99 ms', digits: 1 },
  { key: 'busiest', title: "busiest context's share, %", digits: 0 },
]
/** Within so many milliseconds all contexts have started and answered. */
const PATIENCE = 20_000
const PAUSE = 20

export const threads = {
  about: 'One tenant that computes, with one thread and with two.',
  async run({ rounds, seconds, warmup, contenders = CONTENDERS, progress }) {
    const { there, missing } = present(contenders)
    const pairs = there.flatMap((name) => THREADS.map((count) => ({ name, count })))
    const measured = await alternate(pairs, rounds, (pair) => oneRound(pair, { seconds, warmup }), progress)
    return {
      how: `${CONNECTIONS} connections. Medians (lowest-highest) of ${rounds} rounds of ${seconds} s.`,
      tables: there.map((name) => compare({
        title: name, of: ['threads'], columns: COLUMNS, bound: '1',
        measured: measured.filter(([pair]) => pair.name === name).map(([{ count }, all]) => [String(count), all]),
      })),
      notes: missing.map(([name, why]) => `${name} is missing: ${why}.`),
    }
  },
}

async function oneRound({ name, count }, { seconds, warmup }) {
  const server = await startServer(name, { BENCH_APP: 'work-app.mjs', BENCH_THREADS: String(count) })
  try {
    const url = `${server.url}/`
    const contexts = await contextsOf(server, count)
    // While the second one starts, nothing is handed over.
    const lanes = await server.lanes()
    await load(url, { connections: CONNECTIONS, seconds: warmup })
    const read = () => ({ all: treeCpuSeconds(server.pid), each: contexts.map((thread) => threadCpuSeconds(thread)) })
    const before = read()
    const { requests, seconds: took, p99 } = await load(url, { connections: CONNECTIONS, seconds })
    const after = read()
    const each = after.each.map((used, index) => used - before.each[index])
    const sum = each.reduce((total, used) => total + used, 0)
    await checkLane(server, known[name], lanes)
    return {
      requests: requests / took, p99, cpu: ((after.all - before.all) * 1e6) / requests,
      busiest: (100 * Math.max(...each)) / sum,
    }
  } finally {
    await server.stop()
  }
}

/** PID/task/TID of each context, as the application itself reads it; they start one after another. */
async function contextsOf({ name, url }, count) {
  const found = new Set()
  for (const deadline = Date.now() + PATIENCE; found.size < count && Date.now() < deadline; await sleep(PAUSE)) {
    const { text } = await ask(`${url}/thread`)
    if (!/^\d+\/task\/\d+$/.test(text)) throw new Error(`${name} answers wrongly: ${text}`)
    found.add(text)
  }
  if (found.size < count) throw new Error(`${name} has ${found.size} contexts and not ${count}`)
  return [...found]
}
