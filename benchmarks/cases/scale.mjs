// One tenant and two at once: what is answered together, and which thread pays for it. On the hand-off lane the front does
// nothing for a request, so that what N tenants get grows with N as long as there are processors.
import { contenders as known, present } from '../contenders.mjs'
import { ask, HOST, load, OTHER_HOST } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { threadCpuSeconds, treeCpuSeconds } from '../process-tree.mjs'
import { startServer } from '../server.mjs'
import { checkHosts, checkLane } from './load.mjs'

const CONTENDERS = ['relay', 'handoff', 'process-relay', 'process-handoff']
const TENANTS = { '1 tenant': [HOST], '2 tenants': [HOST, OTHER_HOST] }
const CONNECTIONS = 32
const COLUMNS = [
  { key: 'requests', title: 'requests/s together', digits: 0, ratio: true },
  { key: 'front', title: 'front, CPU µs/request', digits: 1, ratio: true },
  { key: 'contexts', title: 'contexts', digits: 1, ratio: true },
  { key: 'rest', title: 'other threads', digits: 1 },
]

export const scale = {
  about: 'One tenant and two at once: which thread pays for a request.',
  async run({ rounds, seconds, warmup, contenders = CONTENDERS, progress }) {
    const { there, missing } = present(contenders)
    const measured = await alternate(there, rounds, (name, round) => oneRound(name, round, { seconds, warmup }), progress)
    const names = Object.keys(TENANTS)
    const tables = measured.map(([name, all]) => compare({
      title: name, of: ['asked'], columns: COLUMNS, bound: names[0],
      measured: names.map((tenants) => [tenants, all.map((one) => one[tenants])]),
    }))
    return {
      how: `${CONNECTIONS} connections a tenant. Medians (lowest-highest) of ${rounds} rounds of ${seconds} s.`,
      tables,
      notes: [...tables.flatMap(capacity), ...missing.map(([name, why]) => `${name} is missing: ${why}.`)],
    }
  },
}

async function oneRound(name, round, { seconds, warmup }) {
  const server = await startServer(name)
  try {
    await checkHosts(server, known[name])
    // Both, before either counts: whoever is measured first would pay for the compiler.
    await Promise.all([HOST, OTHER_HOST].map((host) => load(`${server.url}/`, { host, connections: CONNECTIONS, seconds: warmup })))
    const found = {}
    const tenants = Object.entries(TENANTS)
    for (const [title, hosts] of round % 2 === 0 ? tenants : tenants.toReversed()) found[title] = await measure(server, hosts, seconds)
    await checkLane(server, known[name])
    return found
  } finally {
    await server.stop()
  }
}

async function measure(server, hosts, seconds) {
  const threads = await Promise.all(hosts.map((host) => threadOf(server, host)))
  const read = () => ({
    front: threadCpuSeconds(`${server.pid}/task/${server.pid}`),
    contexts: threads.reduce((sum, thread) => sum + threadCpuSeconds(thread), 0),
    all: treeCpuSeconds(server.pid),
  })
  const before = read()
  const loads = await Promise.all(hosts.map((host) => load(`${server.url}/`, { host, connections: CONNECTIONS, seconds })))
  const after = read()
  const requests = loads.reduce((sum, one) => sum + one.requests, 0)
  const each = (key) => ((after[key] - before[key]) * 1e6) / requests
  return {
    requests: loads.reduce((sum, one) => sum + one.requests / one.seconds, 0),
    front: each('front'), contexts: each('contexts'), rest: each('all') - each('front') - each('contexts'),
  }
}

/** PID/task/TID of the thread that answers for a host, as the application itself reads it. */
async function threadOf({ name, url }, host) {
  const { text } = await ask(`${url}/thread`, { host })
  if (!/^\d+\/task\/\d+$/.test(text)) throw new Error(`${name} answers ${host} wrongly: ${text}`)
  return text
}

function capacity({ title, rows }) {
  const { front } = rows.at(-1).values
  if (front === undefined) return []
  return [`${title}: the front's thread has time for ${Math.round(1e6 / Math.max(front.median, 0.001)).toLocaleString('en')} requests a second of all tenants together.`]
}
