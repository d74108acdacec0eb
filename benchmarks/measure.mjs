// One case: check, warm up, then rounds in alternating order.
import { cases, figures } from './cases.mjs'
import { spread } from './figures.mjs'
import { ask, load } from './load.mjs'
import { cpuSeconds, residentBytes, startServer, watchMemory } from './server.mjs'

/** Runs one case; resolves with every round's figures, their spread, the ratios to `bare`, and what became of the targets. */
export async function measure(name, { rounds, seconds, warmup, contenders, connections, onRound }) {
  const spec = cases[name]
  const names = contenders ?? spec.contenders
  const settings = { connections: connections ?? spec.connections, method: spec.method, bodyBytes: spec.bodyBytes }
  const servers = []
  try {
    for (const contender of names) servers.push(await startServer(contender))

    const resident = new Map()
    for (const server of servers) {
      // The context must be there before memory is read: asked is what transfers add, not what a context costs.
      await ask(`${server.url}/`)
      resident.set(server, { cold: residentBytes(server.pid) })
      const answer = await ask(server.url + spec.path, settings)
      if (!spec.check(answer)) throw new Error(`${server.name} answers wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
    }
    for (const server of servers) {
      await load(server.url + spec.path, { ...settings, seconds: warmup })
      resident.get(server).warm = residentBytes(server.pid)
    }

    const results = new Map(servers.map((server) => [server, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        const figure = await oneRound(server, spec, { ...settings, seconds }, resident.get(server))
        results.get(server).push(figure)
        onRound?.(round, server.name, figure)
      }
    }
    return summarise(spec, settings, servers.map((server) => [server.name, results.get(server)]))
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
}

async function oneRound(server, spec, settings, { cold, warm }) {
  const stopWatching = watchMemory(server.pid)
  const cpuBefore = cpuSeconds(server.pid)
  const result = await load(server.url + spec.path, settings)
  const cpuAfter = cpuSeconds(server.pid)
  const raw = {
    load: result,
    megabytes: spec.megabytes,
    cpu: cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
    peak: stopWatching(),
    cold,
    warm,
  }
  return Object.fromEntries(spec.columns.map((column) => [column, figures[column].of(raw)]))
}

function summarise(spec, settings, results) {
  const [[, bare]] = results
  const contenders = results.map(([name, rounds]) => ({
    name,
    rounds,
    figures: Object.fromEntries(spec.columns.map((column) => [column, spread(rounds.map((round) => round[column]))])),
    ratios: Object.fromEntries(spec.columns.filter((column) => figures[column].bytes !== true).map((column) =>
      [column, spread(rounds.map((round, index) => ratio(round[column], bare[index][column])))])),
  }))
  const targets = contenders.slice(1).flatMap((contender) => spec.targets.map((target) => judge(contender, target)))
  return { about: spec.about, settings, contenders, targets }
}

function ratio(value, bound) {
  return value === undefined || !bound ? undefined : value / bound
}

/** A target is held against the median ratio; memory against the most that was seen. */
function judge({ name, figures: own, ratios }, { figure, atLeast, atMost, growthBelow }) {
  const value = growthBelow === undefined ? ratios[figure]?.median : own[figure]?.max
  const said = atLeast !== undefined ? `>= ${atLeast}` : `${atMost === undefined ? '<' : '<='} ${atMost ?? growthBelow}`
  const kept = value === undefined ? undefined
    : atLeast !== undefined ? value >= atLeast
    : atMost !== undefined ? value <= atMost
    : value < growthBelow
  return { contender: name, figure, target: said, value, kept }
}
