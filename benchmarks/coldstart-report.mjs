// First requests: the verdict, and the table that pages show.
import { showSpread, table } from './figures.mjs'

const KINDS = {
  worker: 'a bare worker that imports it',
  cached: "the same with Node's compile cache",
  cold: 'Tenantry, first request',
  warm: 'Tenantry, second request',
}
/** A first request against a bare worker. */
const MOST_RATIO = 1.3

/** Pure: first requests against bare workers, and what is left of them where a thread has booted before. */
export function judgeColdStart(rows) {
  const apps = [...new Set(rows.map(({ app }) => app))].map((app) => {
    const of = (kind) => rows.find((row) => row.app === app && row.kind === kind)
    const [worker, cold, warm] = ['worker', 'cold', 'warm'].map((kind) => of(kind).milliseconds.median)
    return { app, ratio: cold / worker, boot: Math.max(0, cold - warm - of('worker').import.median) }
  })
  const targets = apps.map(({ app, ratio }) => ({
    what: `first request of ${app} against a bare worker`, target: `at most ${MOST_RATIO} times`, value: ratio, kept: ratio <= MOST_RATIO,
  }))
  return { apps, targets }
}

export function showColdStart({ rows }) {
  return table(
    ['application', 'what', 'ms', 'of it importing, ms'],
    rows.map(({ app, kind, milliseconds, import: imported }) => [app, KINDS[kind], showSpread(milliseconds, 1), showSpread(imported, 1)]),
  )
}

export function showColdStartVerdict({ rounds, apps, targets }) {
  const said = apps.map(({ app, ratio, boot }) => `${app} ${ratio.toFixed(2)} times a bare worker, ${boot.toFixed(0)} ms of it neither importing nor answering`)
  return [
    `First requests: ${said.join('; ')}. Medians (lowest-highest) of ${rounds} rounds.`,
    ...targets.filter(({ kept }) => !kept).map(({ what, target, value }) => `MISSED: ${what}: ${target}, found ${value.toFixed(2)}.`),
  ].join('\n')
}
