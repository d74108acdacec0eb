// One case: check, warm up, then rounds in alternating order.
import { cases, figures } from './cases.mjs'
import { spread } from './figures.mjs'
import { ask, load } from './load.mjs'
import { startServer, watchMemory } from './server.mjs'
import { treeCpuSeconds, treeResident } from './process-tree.mjs'

/** Runs one case; resolves with every round's figures, their spread, the ratios to `bare`, and what became of the targets. */
export async function measure(name, { rounds, seconds, warmup, contenders, connections, onRound }) {
  const spec = cases[name]
  const names = contenders ?? spec.contenders
  const settings = { connections: connections ?? spec.connections, method: spec.method, bodyBytes: spec.bodyBytes }
  const results = new Map(names.map((contender) => [contender, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of round % 2 === 0 ? names : names.toReversed()) {
      const figure = await oneRound(contender, spec, { ...settings, seconds, warmup })
      results.get(contender).push(figure)
      onRound?.(round, contender, figure)
    }
  }
  return summarise(spec, settings, [...results])
}

/**
 * A server of its own for each round, and nothing beside it: an idle second server took a third of the throughput of
 * an upload on two processors, and a process keeps the luck of its memory layout for as long as it lives.
 */
async function oneRound(contender, spec, { warmup, ...settings }) {
  const server = await startServer(contender)
  try {
    // The context must be there before memory is read: asked is what transfers add, not what a context costs.
    await ask(`${server.url}/`)
    const cold = treeResident(server.pid)
    const answer = await ask(server.url + spec.path, settings)
    if (!spec.check(answer)) throw new Error(`${server.name} answers wrongly: ${JSON.stringify(answer).slice(0, 300)}`)
    await load(server.url + spec.path, { ...settings, seconds: warmup })
    return await measureServer(server, spec, settings, { cold, warm: treeResident(server.pid) })
  } finally {
    await server.stop()
  }
}

async function measureServer(server, spec, settings, { cold, warm }) {
  const stopWatching = watchMemory(() => treeResident(server.pid))
  const cpuBefore = treeCpuSeconds(server.pid)
  const result = await load(server.url + spec.path, settings)
  const cpuAfter = treeCpuSeconds(server.pid)
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
