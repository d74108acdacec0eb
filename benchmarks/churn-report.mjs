// What 20,000 contexts left behind: the verdict, and the table and the plot that pages show.
import { spread, table } from './figures.mjs'

const MEGABYTE = 2 ** 20
const ROWS = 10
/** The first tenth is warm-up: V8 compiles what is hot, malloc opens its arenas, caches fill. */
const WARM = 0.1
/** Of the resident memory after a collection: the median of the last fifth against that of the first fifth after warm-up. */
const MOST_GROWTH = 0.1

/** Pure: what the samples say about memory, descriptors and threads. */
export function judgeChurn(samples) {
  const warm = samples.slice(Math.ceil(samples.length * WARM))
  const part = Math.max(1, Math.floor(warm.length / 5))
  const middle = (list, figure) => spread(list.map((sample) => sample[figure]))?.median
  const [first, last] = [warm.slice(0, part), warm.slice(-part)]
  const [before, after] = [middle(first, 'residentCollected'), middle(last, 'residentCollected')]
  const born = middle(last, 'births') - middle(first, 'births')
  const most = (figure, list) => Math.max(...list.map((sample) => sample[figure] ?? 0))
  const half = Math.floor(warm.length / 2)
  return {
    warmUp: warm[0].births,
    growth: (after - before) / before,
    bytesLeftByEach: (after - before) / born,
    heapLeftByEach: (middle(last, 'heapUsed') - middle(first, 'heapUsed')) / born,
    targets: [
      { what: 'memory after warm-up', target: `grows by at most ${MOST_GROWTH * 100} %`, kept: after <= before * (1 + MOST_GROWTH) },
      ...['descriptors', 'threads'].map((figure) => ({
        what: figure, target: 'no more in the second half than in the first',
        kept: most(figure, warm.slice(half)) <= most(figure, warm.slice(0, half)),
      })),
      { what: 'zombies', target: 'none', kept: most('zombies', samples) === 0 },
    ],
  }
}

export function showChurn({ samples }) {
  const step = Math.max(1, Math.floor((samples.length - 1) / ROWS))
  const rows = samples.filter((_, index) => index % step === 0)
  const megabytes = (bytes) => (bytes / MEGABYTE).toFixed(1)
  return table(
    ['contexts born', 'seconds', 'resident MB', 'after a collection', 'heap MB', 'descriptors', 'threads'],
    rows.map((sample) => [
      sample.births.toLocaleString('en'), String(sample.seconds), megabytes(sample.resident),
      megabytes(sample.residentCollected), megabytes(sample.heapUsed), String(sample.descriptors ?? '-'), String(sample.threads ?? '-'),
    ]),
  )
}

export function showChurnVerdict({ warmUp, growth, bytesLeftByEach, heapLeftByEach, targets }) {
  const said = `After the first ${warmUp.toLocaleString('en')} contexts, resident memory changed by ${(growth * 100).toFixed(1)} %: `
    + `${Math.round(bytesLeftByEach)} bytes for each further context, ${Math.round(heapLeftByEach)} of them on V8's heap.`
  return [said, ...targets.filter(({ kept }) => !kept).map(({ what, target }) => `MISSED: ${what}: ${target}.`)].join('\n')
}
