// The first request for a tenant, from its first byte to its answer's last, beside what a bare worker needs to import the
// same application.
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../load.mjs'
import { alternate, compare } from '../measure.mjs'
import { startServer } from '../server.mjs'

/** Single starts vary by half: so many until a median holds still. */
const ROUNDS = 30
/** The first ones fill the disk's cache and compile the front. */
const WARM_UP = 3
const QUIET = 30

const KINDS = {
  worker: 'a bare worker that imports it',
  cached: "the same with Node's compile cache",
  cold: 'Tenantry, first request, no spares',
  spare: 'Tenantry, first request, from a spare',
  warm: 'Tenantry, second request',
}
const APPS = ['hello', 'express']
const COLUMNS = [
  { key: 'milliseconds', title: 'ms', digits: 1, ratio: true },
  { key: 'import', title: 'of it importing, ms', digits: 1 },
]

export const coldStart = {
  about: 'The first request for a tenant.',
  async run({ progress }) {
    const agent = new Agent({ keepAlive: true })
    const servers = []
    const start = async (spares) => {
      const server = await startServer('cold-start', { BENCH_SPARES: String(spares) })
      servers.push(server)
      return (host) => ask(server.url, { agent, host })
    }
    try {
      const gets = { plain: await start(0), spared: await start(1) }
      const tables = []
      for (const app of APPS) tables.push(await measure(app, gets, progress))
      await checkSpares(gets)
      return { how: `Medians (lowest-highest) of ${ROUNDS} rounds.`, tables, figures: figuresOf(tables[0]) }
    } finally {
      agent.destroy()
      for (const server of servers) await server.stop()
    }
  },
}

async function measure(app, { plain, spared }, progress) {
  const kinds = await thoseThere(app, plain)
  const once = (kind) => oneStart(app, kind, kind === 'spare' ? spared : plain)
  const found = await alternate(kinds, ROUNDS + WARM_UP, once, progress)
  return compare({
    title: app, of: ['what'], columns: COLUMNS, bound: KINDS.worker,
    measured: found.map(([kind, all]) => [KINDS[kind], all.slice(WARM_UP)]),
  })
}

/** A first request that waited for a thread after all would be measured as one from a spare. */
async function checkSpares({ plain, spared }) {
  const counts = await Promise.all([plain, spared].map(async (get) => JSON.parse((await get('end.test')).text).fromSpares))
  const wanted = [0, APPS.length * (ROUNDS + WARM_UP)]
  if (counts.join() !== wanted.join()) throw new Error(`${counts.join(' and ')} contexts came from spares, not ${wanted.join(' and ')}`)
}

/** Node has a compile cache since 22.1. */
async function thoseThere(app, get) {
  const { status } = await get(`cached.${app}.test`)
  return Object.keys(KINDS).filter((kind) => kind !== 'cached' || status !== 501)
}

let names = 0

async function oneStart(app, kind, get) {
  const bare = kind === 'worker' || kind === 'cached'
  const host = `${bare ? kind : `n${names++}`}.${app}.test`
  if (kind === 'warm') await get(host)
  const { milliseconds, status, text, headers } = await get(host)
  if (status !== 200 || text !== 'Hello, World!') throw new Error(`${host} answers wrongly: ${status} ${text}`)
  await get('end.test')
  await sleep(QUIET)
  return { milliseconds, import: bare ? Number(headers['x-import']) : undefined }
}

function figuresOf({ rows }) {
  const of = (kind) => rows.find(({ names: [name] }) => name === KINDS[kind])?.values.milliseconds.median
  return {
    coldOverWorker: of('cold') / of('worker'),
    spareOverWarm: of('spare') - of('warm'),
  }
}
