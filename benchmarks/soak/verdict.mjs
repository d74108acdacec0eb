// What a soak promises, whether it was kept, and how it is shown.
import { table } from '../figures.mjs'

const MEGABYTE = 2 ** 20
/**
 * Of all processes' memory, from the largest of the first three rests to the smaller of the last two. Nobody collects
 * garbage by force here, and malloc keeps pages of what a hundred threads have freed: that moves a rest by a fifth, and
 * takes its full size only after the worst that the traffic does. What each context leaves behind, `churn` measures.
 */
const MOST_GROWTH = 0.25
/** Of the healthy requests; the rest may be refused with a code, for births and places are limited. */
const LEAST_ANSWERED = 0.8
const ROWS = 12

/** Pure: every promise, and whether it was kept. */
export function judgeSoak({ requests, rests: [empty, ...rests], ended, complaints, lane, lanes, leftBehind }) {
  const [first] = rests
  const [last, before] = rests.toReversed()
  const most = Math.max(...rests.slice(0, 3).map(({ resident }) => resident))
  const grown = last.resident === undefined ? undefined : Math.min(last.resident, before.resident) / most - 1
  const handed = lanes?.handoff
  return [
    promise('connections handed over', lane === 'relay' ? 'none' : 'more than stayed', handed,
      lane === 'relay' ? handed === 0 : handed > sum(lanes?.relay ?? {})),
    promise('requests lost without a context that died under them', 'none', requests.lost, requests.lost === 0),
    promise('requests for a host answered as another one\'s (421)', 'none', requests.misdirected, requests.misdirected === 0),
    promise('answers of code that was replaced before', 'none', requests.stale, requests.stale === 0),
    promise('answered', `>= ${LEAST_ANSWERED} of what was not left`, share(requests), share(requests) >= LEAST_ANSWERED),
    promise('contexts alive at rest', 'none', last.alive, rests.every(({ alive }) => alive === 0)),
    promise('memory at rest grew by, %', `<= ${MOST_GROWTH * 100}`, grown === undefined ? undefined : Math.round(grown * 100),
      grown === undefined || grown <= MOST_GROWTH),
    promise('descriptors at rest', `<= ${first.descriptors}, as at the first rest; ${empty.descriptors} before the first request`,
      last.descriptors, !(last.descriptors > first.descriptors)),
    promise('threads at rest', `<= ${first.threads}, as at the first rest`, last.threads, !(last.threads > first.threads)),
    promise('zombies: processes at rest, and threads left behind', 'none', `${last.zombies ?? '-'}, ${leftBehind}`,
      !rests.some(({ zombies }) => zombies > 0) && leftBehind === 0),
    promise('exit code after SIGTERM', '0', ended.signal ?? ended.code, ended.code === 0),
    promise('errors and warnings of the process itself', 'none', complaints.length, complaints.length === 0),
  ]
}

function promise(what, target, value, kept) {
  return { what, target, value, kept }
}

function share({ sent, left, answered }) {
  return Number((answered / Math.max(1, sent - left)).toFixed(3))
}

export function showLine({ phase, seconds, sent, answered, refused, died, lost, stale, born, gone, alive, resident, descriptors, threads }) {
  const parts = [
    `${sent} sent`, `${answered} answered`, `${refused} refused`, `${died} died`, `${lost} lost`, ...(stale > 0 ? [`${stale} stale`] : []),
    `contexts ${born} born ${gone} gone ${alive} alive`, `${megabytes(resident)} MB`, `${descriptors ?? '-'} fds`, `${threads ?? '-'} threads`,
  ]
  return `${String(seconds).padStart(5)} s ${phase}: ${parts.join(', ')}`
}

/** For the terminal: with all that went wrong. */
export function showSoak(saved) {
  const { requests, samples, complaints } = saved
  const step = Math.max(1, Math.floor(samples.length / ROWS))
  return [
    ...summary(saved),
    showSamples(samples.filter((sample, index) => index % step === 0 || sample.phase === 'rest')),
    showPromises(saved),
    ...requests.examples.lost.slice(0, 20).map((example) => `LOST ${JSON.stringify(example)}`),
    ...requests.examples.raced.slice(0, 20).map((example) => `RACED ${JSON.stringify(example)}`),
    ...requests.examples.stale.slice(0, 20).map((example) => `STALE ${JSON.stringify(example)}`),
    ...complaints.slice(0, 20).map((text) => `COMPLAINT ${text}`),
  ].join('\n\n')
}

/** For a page: what was promised, and every rest. */
export function showSoakPart(saved) {
  return [showPromises(saved), showSamples(saved.samples.filter(({ phase }) => phase === 'rest')), ...summary(saved)].join('\n\n')
}

function summary({ settings, requests, contexts, rests, lane, lanes }) {
  const { sent, answered, left, lost, refused, died, retried, raced, faults, p50, p99 } = requests
  return [
    `Lane ${lane}, ${settings.minutes} minutes, ${settings.tenants} tenants, ${contexts.maxContexts} places, seed ${settings.seed}: `
      + `${sent} requests sent, ${answered} answered, ${left} left by the client, ${sum(refused)} refused with a code, `
      + `${sum(died)} whose context died under them, `
      + `${sum(retried)} asked again after their connection broke off, ${sum(raced)} that broke off and may not be, ${lost} lost. p50 ${p50} ms, p99 ${p99} ms, cold starts included.`,
    `Refused: ${shown(refused)}. Died under them: ${shown(died)}. Asked again, by the end of the context: ${shown(retried)}; `
      + `not asked again: ${shown(raced)}. Connections: ${lanes?.handoff} handed over, relayed by reason: ${shown(lanes?.relay ?? {})}. Faults provoked: ${shown(faults)}.`,
    `Contexts: ${contexts.born} born, ${contexts.stillborn} failed to start, ${contexts.daemonsKilled} daemons killed, gone by: ${shown(contexts.gone)}; `
      + `told to go for: ${shown(contexts.evicted)}. `
      + `Resident at rest: ${rests.map(({ resident }) => megabytes(resident)).join(', ')} MB, the first before any request.`,
  ]
}

function showSamples(samples) {
  return table(['seconds', 'phase', 'sent', 'answered', 'lost', 'contexts', 'resident MB', 'descriptors', 'threads'], samples.map((sample) => [
    String(sample.seconds), sample.phase, String(sample.sent), String(sample.answered), String(sample.lost), String(sample.alive),
    megabytes(sample.resident), String(sample.descriptors ?? '-'), String(sample.threads ?? '-'),
  ]))
}

function showPromises({ targets }) {
  return table(['promise', 'target', 'found', ''], targets.map(({ what, target, value, kept }) =>
    [what, target, String(value ?? '-'), kept ? 'kept' : 'BROKEN']))
}

function shown(counts) {
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a)
  return entries.length === 0 ? 'none' : entries.map(([name, value]) => `${name} ${value}`).join(', ')
}

function sum(counts) {
  return Object.values(counts).reduce((total, value) => total + value, 0)
}

function megabytes(bytes) {
  return bytes === undefined ? '-' : (bytes / MEGABYTE).toFixed(1)
}
