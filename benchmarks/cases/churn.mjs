// One process makes and evicts 20,000 contexts, two at once, with room for four. What does each leave behind?
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../load.mjs'
import { startServer } from '../server.mjs'

const MEGABYTE = 2 ** 20
const AT_ONCE = 2
const SAMPLES = 40
const ROWS = 10
/** What was told to end before a sample is gone by then. */
const QUIET = 500
/** The first tenth is warm-up: V8 compiles what is hot, malloc opens its arenas, caches fill. */
const WARM = 0.1

const COLUMNS = [
  { key: 'seconds', title: 'seconds', digits: 0 },
  { key: 'resident', title: 'resident MB', digits: 1 },
  { key: 'residentCollected', title: 'after a collection', digits: 1 },
  { key: 'heapUsed', title: 'heap MB', digits: 1 },
  { key: 'descriptors', title: 'descriptors', digits: 0 },
  { key: 'threads', title: 'threads', digits: 0 },
]
const BYTES = new Set(['resident', 'residentCollected', 'heapUsed'])

export const churn = {
  about: 'Contexts that come and go: what they leave behind in one process.',
  async run({ contexts, progress }) {
    const samples = await sampleChurn(Math.max(contexts, SAMPLES), progress)
    const figures = judgeChurn(samples)
    return {
      how: `${contexts.toLocaleString('en')} contexts.`, tables: [tableOf(samples)], notes: [showVerdict(figures)], figures, samples,
    }
  },
}

async function sampleChurn(contexts, progress) {
  const agent = new Agent({ keepAlive: true })
  const server = await startServer('churn')
  const since = performance.now()
  const samples = []
  let asked = 0
  const sample = async () => {
    await sleep(QUIET)
    const { text } = await ask(server.url, { agent, host: 'figures.example.test' })
    samples.push({ asked, seconds: Math.round((performance.now() - since) / 1000), ...JSON.parse(text) })
    progress()
  }
  /** Each name was never asked before, so each request is a birth, and the eviction of whoever is worth least. */
  const churnTo = (goal) => Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (asked < goal) {
      const host = `n${asked++}.churn.example.test`
      const { status, text } = await ask(server.url, { agent, host })
      if (status !== 200 || text !== 'Hello, World!') throw new Error(`${host} answers wrongly: ${status} ${text}`)
    }
  }))
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
  return samples
}

/** Pure: what the samples say about memory, descriptors and threads. */
function judgeChurn(samples) {
  const warm = samples.slice(Math.ceil(samples.length * WARM))
  const half = Math.ceil(warm.length / 2)
  const [first, second] = [warm.slice(0, half), warm.slice(half)]
  const most = (figure, list) => Math.max(...list.map((sample) => sample[figure] ?? 0))
  const more = (figure) => Math.max(0, most(figure, second) - most(figure, first))
  return {
    warmUp: warm[0].births,
    lowest: Math.min(...warm.map(({ residentCollected }) => residentCollected)),
    highest: most('residentCollected', warm),
    growth: most('residentCollected', second) / most('residentCollected', first),
    left: more('descriptors') + more('threads') + most('zombies', samples),
    bytesLeftByEach: slope(warm, 'residentCollected'),
    heapLeftByEach: slope(warm, 'heapUsed'),
  }
}

/** Of the straight line through the samples by least squares: bytes for each context. */
function slope(samples, figure) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [births, bytes] = [mean(samples.map((sample) => sample.births)), mean(samples.map((sample) => sample[figure]))]
  const above = mean(samples.map((sample) => (sample.births - births) * (sample[figure] - bytes)))
  return above / mean(samples.map((sample) => (sample.births - births) ** 2))
}

function tableOf(samples) {
  const step = Math.max(1, Math.floor((samples.length - 1) / ROWS))
  const rows = samples.filter((_, index) => index % step === 0).map((sample) => ({
    names: [sample.births.toLocaleString('en')],
    values: Object.fromEntries(COLUMNS.map(({ key }) => [key, BYTES.has(key) ? sample[key] / MEGABYTE : sample[key]])),
  }))
  return { of: ['contexts born'], columns: COLUMNS, rows }
}

function showVerdict({ warmUp, lowest, highest, growth, bytesLeftByEach, heapLeftByEach }) {
  return `After the first ${warmUp.toLocaleString('en')} contexts, resident memory stayed between ${(lowest / MEGABYTE).toFixed(0)} and `
    + `${(highest / MEGABYTE).toFixed(0)} MB; its highest value in the second half was ${growth.toFixed(3)} times that in the first. `
    + `A straight line through all samples changes by ${Math.round(bytesLeftByEach)} bytes for each context, on V8's heap by `
    + `${Math.round(heapLeftByEach)}.`
}
