// A case that loads the same requests onto each contender in turn, as the generator can: data in, tables out.
import { contenders, present } from '../contenders.mjs'
import { columnsOf, figures } from '../figures.mjs'
import { ask, client, HOST, load, OTHER_HOST } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { versionsOf } from '../peers.mjs'
import { threadCpuSeconds, treeCpuSeconds, treeResident } from '../process-tree.mjs'
import { startServer, watchMemory } from '../server.mjs'

/** Seconds before a load that does what the one before it did, on other connections: the server's code is warm. */
const AGAIN = 1

/**
 * `loads`: each becomes a table: { title, connections, path, method, bodyBytes, headers, megabytes, check }, or with
 * `client` the name of a client of ours that does it; `kind`: one load's code is as warm as the last one's of its kind, and
 * all are of one where none is named. The first contender is the bound. `titles`: of columns, where a
 * request is something else; `env`: see `startServer`; `mostRounds`: where more would say no more.
 */
export function loadCase({ about, ...own }) {
  return { about, run: (settings) => run(own, settings) }
}

async function run({ contenders: own, loads, columns, titles = {}, env, mostRounds = Infinity }, { rounds, seconds, warmup, connections, progress, ...settings }) {
  const most = Math.min(rounds, mostRounds)
  const { there, missing } = present(settings.contenders ?? own)
  const wanted = connections === undefined ? loads : [{ ...loads[0], connections, title: `${connections} connections` }]
  const once = async (name) => {
    try {
      return await oneRound(name, wanted, columns, { seconds, warmup, env })
    } catch (error) {
      // What is not ours may fail on a machine of its own accord: it is named, and the others are measured.
      if (contenders[name].peer !== true) throw error
      missing.push([name, error.message])
    }
  }
  const all = await alternate(there, most, (name) => missing.some(([other]) => other === name) ? undefined : once(name), progress)
  const measured = all.filter(([name]) => missing.every(([other]) => other !== name))
  return {
    how: `Medians (lowest-highest) of ${most} rounds of ${seconds} s.`,
    tables: wanted.map(({ title }, index) => compare({
      title,
      columns: columnsOf(...columns).map((column) => ({ ...column, title: titles[column.key] ?? column.title })),
      measured: measured.map(([name, found]) => [name, found.map((one) => one[index])]),
      bound: there[0],
      missing,
    })),
    notes: versionsOf(measured.map(([name]) => name)),
  }
}

/**
 * A server of its own for each round, and nothing beside it: an idle second server took a third of the throughput of
 * an upload on two processors, and a process keeps the luck of its memory layout for as long as it lives.
 */
async function oneRound(name, loads, columns, { seconds, warmup, env }) {
  const server = await startServer(name, env)
  try {
    await checkHosts(server, contenders[name])
    // The context must be there before memory is read: asked is what transfers add, not what a context costs.
    const cold = treeResident(server.pid)
    const found = []
    const kinds = new Set()
    for (const one of loads) {
      // A client of ours checks what it gets itself.
      const answer = one.client === undefined && await ask(server.url + one.path, one)
      if (answer && !one.check(answer)) throw new Error(`${name} answers wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
      await drive(server.url, one, kinds.has(one.kind) ? Math.min(AGAIN, warmup) : warmup)
      kinds.add(one.kind)
      found.push(await measure(server, one, columns, { seconds, cold, warm: treeResident(server.pid) }))
    }
    await checkLane(server, contenders[name])
    return found
  } finally {
    await server.stop()
  }
}

/** A server of many hosts must tell them apart; one of a single application says the same to all. */
export async function checkHosts({ name, url }, { hosts = false }) {
  for (const [host, text] of [[HOST, 'Hello, World!'], ...hosts ? [[OTHER_HOST, 'Hello, Other!']] : []]) {
    const answer = await ask(`${url}/`, { host })
    if (answer.status !== 200 || answer.text !== text) throw new Error(`${name} answers ${host} wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
  }
}

/**
 * Connections that took the other lane after all would be measured as what they are not; a few may, of hundreds.
 * `before`: what the server said when the measurement began.
 */
export async function checkLane(server, { lane }, before = { handoff: 0, relay: {} }) {
  if (lane === undefined) return
  const { handoff, relay } = await server.lanes()
  const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0)
  const [handed, relayed] = [handoff - before.handoff, sum(relay) - sum(before.relay)]
  const [wanted, other] = lane === 'handoff' ? [handed, relayed] : [relayed, handed]
  if (wanted === 0 || other > wanted / 100) throw new Error(`${server.name}: ${handoff} connections were handed over, ${JSON.stringify(relay)} were not`)
}

function drive(url, { client: name, path, ...one }, seconds) {
  return name === undefined ? load(url + path, { ...one, seconds }) : client(name, url + path, { host: HOST, ...one, seconds })
}

async function measure(server, one, columns, { seconds, cold, warm }) {
  const stopWatching = watchMemory(() => treeResident(server.pid))
  // The main thread, which takes connections, and all threads.
  const read = () => [threadCpuSeconds(`${server.pid}/task/${server.pid}`), treeCpuSeconds(server.pid)]
  const before = read()
  const result = await drive(server.url, one, seconds)
  const [front, cpu] = read().map((after, index) => after === undefined ? undefined : after - before[index])
  const raw = { load: result, megabytes: one.megabytes, front, cpu, peak: stopWatching(), cold, warm }
  return Object.fromEntries(columns.map((column) => [column, figures[column].of(raw)]))
}
