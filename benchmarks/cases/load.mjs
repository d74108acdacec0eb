// A case that loads the same requests onto each contender in turn, as the generator can: data in, tables out.
import { contenders, present } from '../contenders.mjs'
import { columnsOf, figures } from '../figures.mjs'
import { ask, HOST, load, OTHER_HOST } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { treeCpuSeconds, treeResident } from '../process-tree.mjs'
import { startServer, watchMemory } from '../server.mjs'

/**
 * `loads`: each becomes a table: { title, connections, path, method, bodyBytes, headers, megabytes, check }. The first
 * contender is the bound.
 */
export function loadCase({ about, contenders: own, loads, columns, notes }) {
  return { about, run: (settings) => run({ own, loads, columns, notes }, settings) }
}

async function run({ own, loads, columns, notes }, { rounds, seconds, warmup, connections, progress, ...settings }) {
  const { there, missing } = present(settings.contenders ?? own)
  const wanted = connections === undefined ? loads : [{ ...loads[0], connections, title: `${connections} connections` }]
  const measured = await alternate(there, rounds, (name) => oneRound(name, wanted, columns, { seconds, warmup }), progress)
  return {
    how: `Medians (lowest-highest) of ${rounds} rounds of ${seconds} s.`,
    tables: wanted.map(({ title }, index) => compare({
      title,
      columns: columnsOf(...columns),
      measured: measured.map(([name, all]) => [name, all.map((one) => one[index])]),
      bound: there[0],
      missing,
    })),
    ...(notes && { notes }),
  }
}

/**
 * A server of its own for each round, and nothing beside it: an idle second server took a third of the throughput of
 * an upload on two processors, and a process keeps the luck of its memory layout for as long as it lives.
 */
async function oneRound(name, loads, columns, { seconds, warmup }) {
  const server = await startServer(name)
  try {
    await checkHosts(server, contenders[name])
    // The context must be there before memory is read: asked is what transfers add, not what a context costs.
    const cold = treeResident(server.pid)
    const found = []
    for (const one of loads) {
      const answer = await ask(server.url + one.path, one)
      if (!one.check(answer)) throw new Error(`${name} answers wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
      await load(server.url + one.path, { ...one, seconds: warmup })
      found.push(await measure(server, one, columns, { seconds, cold, warm: treeResident(server.pid) }))
    }
    return found
  } finally {
    await server.stop()
  }
}

/** A server of many hosts must tell them apart; one of a single application says the same to all. */
async function checkHosts({ name, url }, { hosts = false }) {
  for (const [host, text] of [[HOST, 'Hello, World!'], ...hosts ? [[OTHER_HOST, 'Hello, Other!']] : []]) {
    const answer = await ask(`${url}/`, { host })
    if (answer.status !== 200 || answer.text !== text) throw new Error(`${name} answers ${host} wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
  }
}

async function measure(server, one, columns, { seconds, cold, warm }) {
  const stopWatching = watchMemory(() => treeResident(server.pid))
  const before = treeCpuSeconds(server.pid)
  const result = await load(server.url + one.path, { ...one, seconds })
  const after = treeCpuSeconds(server.pid)
  const raw = {
    load: result, megabytes: one.megabytes, cpu: after === undefined ? undefined : after - before, peak: stopWatching(), cold, warm,
  }
  return Object.fromEntries(columns.map((column) => [column, figures[column].of(raw)]))
}
