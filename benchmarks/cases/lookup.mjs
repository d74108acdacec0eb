// No server: what it costs to find a host's tenant among ten and among a million, and to read them all.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { alternate, compare } from '../measure.mjs'

const TABLE = fileURLToPath(new URL('../lookup-table.mjs', import.meta.url))
/** A million hosts take half a minute to fill three times, and 300 batches of each are steady. */
const MOST_ROUNDS = 3
const MANY = [10, 1000, 100_000, 1_000_000]
const SIZES = { 'allow list': MANY, Map: MANY, object: MANY, 'Map of settings': [10, 1000, 100_000], folder: [10, 1000, 20_000] }
/** What a server with a million hosts would use. */
const JUDGED = ['allow list', 'Map']

const COLUMNS = [
  { key: 'few', title: 'ns, 10 asked', digits: 0 },
  { key: 'many', title: 'ns, 1,000 asked', digits: 0 },
  { key: 'wildcard', title: 'ns below a wildcard', digits: 0 },
  { key: 'unknown', title: 'ns unknown', digits: 0 },
  { key: 'memory', title: 'bytes a host', digits: 0 },
  { key: 'build', title: 'read, s', digits: 3 },
  { key: 'refresh', title: 'again, s', digits: 3 },
  { key: 'pause', title: 'longest pause, ms', digits: 0 },
]
const MILLISECONDS = ['build', 'refresh']

export const lookup = {
  about: 'A host among ten and among a million.',
  async run({ rounds, progress }) {
    const most = Math.min(rounds, MOST_ROUNDS)
    const sources = Object.entries(SIZES).flatMap(([source, sizes]) => sizes.map((hosts) => ({ source, hosts })))
    const found = await alternate(sources, most, ({ source, hosts }) => fill(source, hosts), progress)
    const table = compare({
      of: ['source', 'hosts'], columns: COLUMNS,
      measured: found.map(([{ source, hosts }, all]) => [[source, hosts.toLocaleString('en')], all]),
    })
    // Medians are enough here: the spread of eight columns is read by nobody.
    for (const row of table.rows) {
      row.values = Object.fromEntries(Object.entries(row.values).map(([key, value]) => [key, value?.median]))
    }
    const growth = growthOf(table.rows)
    return {
      how: `Medians of ${most} rounds.`,
      tables: [table],
      notes: [`The largest table against the smallest, the same ten hosts asked: ${
        Object.entries(growth).map(([source, ratio]) => `${source} ${ratio.toFixed(2)}`).join(', ')}.`],
      figures: { growth: Math.max(...JUDGED.map((source) => growth[source])) },
    }
  },
}

/** One table in a process of its own. */
function fill(source, hosts) {
  const text = execFileSync(process.execPath, ['--expose-gc', TABLE, source, String(hosts)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const found = JSON.parse(text)
  for (const key of MILLISECONDS) if (found[key] !== undefined) found[key] /= 1000
  return found
}

function growthOf(rows) {
  return Object.fromEntries(Object.keys(SIZES).map((source) => {
    const own = rows.filter(({ names }) => names[0] === source)
    return [source, own.at(-1).values.few / own[0].values.few]
  }))
}
