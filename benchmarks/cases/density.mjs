// What an idle tenant holds: so many that have answered once, and what the server holds more than before. Private memory and
// not resident: pages that processes share are there once, however many of them there are.
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { treeFigures, treePrivate } from '../process-tree.mjs'
import { startServer } from '../server.mjs'

const MEGABYTE = 2 ** 20
/** Enough that what the first one brings for all is little in each. */
const TENANTS = 24
const KINDS = {
  worker: 'a bare worker',
  context: 'a context in a thread',
  untrimmed: 'without trimTimeout',
  daemon: 'a context in a daemon',
  process: 'a bare process',
}
/** Threads give back what they used to start; the least of so many looks is what is held. */
const LOOKS = 6
const PAUSE = 250
const MOST_ROUNDS = 3
/** `trimTimeout` of 5s, two heartbeats and the pauses of all. */
const TRIMMED = 8000
const COLUMNS = [
  { key: 'memory', title: 'private MB each', digits: 2, ratio: true },
  { key: 'descriptors', title: 'descriptors each', digits: 1 },
  { key: 'threads', title: 'threads each', digits: 1 },
]

export const density = {
  about: 'What an idle tenant holds that has answered once.',
  async run({ rounds, progress }) {
    const most = Math.min(rounds, MOST_ROUNDS)
    const found = await alternate(Object.keys(KINDS), most, fill, progress)
    const table = compare({
      of: ['tenant'], columns: COLUMNS, bound: KINDS.worker, measured: found.map(([kind, all]) => [KINDS[kind], all]),
    })
    const memory = (kind) => table.rows.find(({ names: [name] }) => name === KINDS[kind]).values.memory?.median
    return {
      how: `${TENANTS} tenants. Medians (lowest-highest) of ${most} rounds.`,
      tables: [table],
      figures: { overWorker: memory('context') - memory('worker') },
    }
  },
}

async function fill(kind) {
  const server = await startServer('density', { BENCH_KIND: kind })
  const host = (number) => `n${number}.density.test`
  const want = async (number) => {
    const { status, text } = await ask(server.url, { host: host(number) })
    if (status !== 200 || text !== 'Hello, World!') throw new Error(`${host(number)} answers wrongly: ${status} ${text}`)
  }
  try {
    // The first one brings what all of them use: a daemon, compiled code, the pools of the front.
    await want(0)
    const before = await settled(server.pid)
    for (let number = 1; number <= TENANTS; number += 1) await want(number)
    const after = await settled(server.pid)
    return Object.fromEntries(COLUMNS.map(({ key }) => [key, (after[key] - before[key]) / TENANTS]))
  } finally {
    await server.stop()
  }
}

async function settled(pid) {
  // Idle is who has had no request for a while: then a context gives back what its start left.
  await sleep(TRIMMED)
  const looks = []
  for (let look = 0; look < LOOKS; look += 1) {
    await sleep(PAUSE)
    looks.push({ ...treeFigures(pid), memory: treePrivate(pid) / MEGABYTE })
  }
  return Object.fromEntries(COLUMNS.map(({ key }) => [key, Math.min(...looks.map((one) => one[key]))]))
}
