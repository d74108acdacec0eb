// What 20,000 contexts left behind: the verdict, and the table that pages show.
import { table } from './figures.mjs'

const MEGABYTE = 2 ** 20
const ROWS = 10
/** The first tenth is warm-up: V8 compiles what is hot, malloc opens its arenas, caches fill. */
const WARM = 0.1
/** Of the highest resident memory, from one half of the run to the other: malloc alone moves it by a fifth, up and down. */
const MOST_GROWTH = 0.1

/** Pure: what the samples say about memory, descriptors and threads. */
export function judgeChurn(samples) {
  const warm = samples.slice(Math.ceil(samples.length * WARM))
  const half = Math.ceil(warm.length / 2)
  const [first, second] = [warm.slice(0, half), warm.slice(half)]
  const most = (figure, list) => Math.max(...list.map((sample) => sample[figure] ?? 0))
  const grown = most('residentCollected', second) / most('residentCollected', first) - 1
  return {
    warmUp: warm[0].births,
    lowest: Math.min(...warm.map(({ residentCollected }) => residentCollected)),
    highest: most('residentCollected', warm),
    growth: grown,
    bytesLeftByEach: slope(warm, 'residentCollected'),
    heapLeftByEach: slope(warm, 'heapUsed'),
    targets: [
      { what: 'the highest memory of the second half', target: `at most ${MOST_GROWTH * 100} % over that of the first`, kept: grown <= MOST_GROWTH },
      ...['descriptors', 'threads'].map((figure) => ({
        what: figure, target: 'no more in the second half than in the first', kept: most(figure, second) <= most(figure, first),
      })),
      { what: 'zombies', target: 'none', kept: most('zombies', samples) === 0 },
    ],
  }
}

/** Of the straight line through the samples by least squares: bytes for each context. */
function slope(samples, figure) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [births, bytes] = [mean(samples.map((sample) => sample.births)), mean(samples.map((sample) => sample[figure]))]
  const above = mean(samples.map((sample) => (sample.births - births) * (sample[figure] - bytes)))
  return above / mean(samples.map((sample) => (sample.births - births) ** 2))
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

export function showChurnVerdict({ warmUp, lowest, highest, growth, bytesLeftByEach, heapLeftByEach, targets }) {
  const said = `After the first ${warmUp.toLocaleString('en')} contexts, resident memory stayed between ${(lowest / MEGABYTE).toFixed(0)} and `
    + `${(highest / MEGABYTE).toFixed(0)} MB; its highest value in the second half was ${Math.abs(growth * 100).toFixed(1)} % `
    + `${growth > 0 ? 'above' : 'below'} that in the first. A straight line through all samples changes by ${Math.round(bytesLeftByEach)} bytes `
    + `for each context, on V8's heap by ${Math.round(heapLeftByEach)}.`
  return [said, ...targets.filter(({ kept }) => !kept).map(({ what, target }) => `MISSED: ${what}: ${target}.`)].join('\n')
}
