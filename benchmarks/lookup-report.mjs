// Tables of hosts: the verdict, and the table that pages show.
import { table } from './figures.mjs'

/** A million hosts against ten, the same ten asked. */
const MOST_RATIO = 1.5

/** Pure: how much longer a look-up takes in each source's largest table than in its smallest. */
export function judgeLookup(tables) {
  const sources = [...new Set(tables.map(({ source }) => source))]
  const growth = Object.fromEntries(sources.map((source) => {
    const own = tables.filter((one) => one.source === source)
    return [source, own.at(-1).few.median / own[0].few.median]
  }))
  const targets = ['allow list', 'Map'].map((source) => ({
    what: `a look-up in the largest ${source} against the smallest`, target: `at most ${MOST_RATIO} times`,
    value: growth[source], kept: growth[source] <= MOST_RATIO,
  }))
  return { growth, targets }
}

export function showLookup({ tables }) {
  const middle = (value, digits = 0) => value === undefined ? '-' : value.median.toLocaleString('en', { maximumFractionDigits: digits })
  const seconds = (value) => value === undefined ? '-' : (value.median / 1000).toFixed(value.median < 100 ? 3 : 1)
  return table(
    ['source', 'hosts', 'ns, 10 asked', 'ns, 1,000 asked', 'ns below a wildcard', 'ns unknown', 'bytes a host', 'read, s', 'again, s', 'longest pause, ms'],
    tables.map((one) => [
      one.source, one.hosts.toLocaleString('en'), middle(one.few), middle(one.many), middle(one.wildcard), middle(one.unknown),
      middle(one.memory), seconds(one.build), seconds(one.refresh), middle(one.pause),
    ]),
  )
}

export function showLookupVerdict({ rounds, growth, targets }) {
  const said = Object.entries(growth).map(([source, ratio]) => `${source} ${ratio.toFixed(2)}`).join(', ')
  return [
    `The largest table against the smallest, the same ten hosts asked: ${said}. Medians of ${rounds} rounds.`,
    ...targets.filter(({ kept }) => !kept).map(({ what, target, value }) => `MISSED: ${what}: ${target}, found ${value.toFixed(2)}.`),
  ].join('\n')
}
