// One process with a server, its clients and its witnesses: connections move into contexts that die at any moment, and
// afterwards exactly those descriptors are open that were open before. Prints one line of JSON.
//
//     node benchmarks/descriptors/program.mjs --connections 3000 [--seed 1] [--lane handoff] [--processes 1]
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createRandom } from '../soak/random.mjs'
import { createRuntime } from '../../dist/index.js'
import { subscribe } from '../../dist/events.js'
import { openClient } from './client.mjs'
import { Witnesses } from './witnesses.mjs'

const { values } = parseArgs({ options: {
  connections: { type: 'string', default: '3000' },
  seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
  lane: { type: 'string', default: 'handoff' },
  processes: { type: 'string', default: '0' },
} })

const HOSTS = Array.from({ length: 6 }, (_, index) => `h${index}.example.test`)
const AT_ONCE = 16
/** One of so many connections ends a context, in each of several ways. */
const DEATHS = 60
/** How long descriptors may take to be closed when all is over; milliseconds. */
const AT_MOST = 20_000
const STAYS = 500

const APPLICATION = `
import { label } from 'tenantry/tenant'
export default (request, response) => {
  if (request.url === '/exit') process.exit(1)
  if (request.url === '/throw') return void setImmediate(() => { throw new Error('on purpose') })
  if (request.url === '/late') return void setTimeout(() => response.end(label), 5)
  response.end(label)
}`

const connections = Number(values.connections)
const random = createRandom(Number(values.seed))
const oneOf = (list) => list[Math.floor(random() * list.length)]
const folder = mkdtempSync(join(tmpdir(), 'tenantry-descriptors-'))
const entry = join(folder, 'app.mjs')
// Where the name is found from: this package's own folder.
writeFileSync(entry, APPLICATION.replace("'tenantry/tenant'", JSON.stringify(new URL('../../dist/tenant/api.js', import.meta.url).href)))

const processes = Number(values.processes)
const runtime = createRuntime({
  tenants: Object.fromEntries(HOSTS.map((host) => [host, { entry }])),
  ...(processes === 0 ? {} : { processGroup: 'daemons', processGroups: { daemons: { processes } } }),
  ...(values.lane === '' ? {} : { lane: values.lane }),
  maxStarts: 1_000_000,
  // They come and go when they like, and each has descriptors.
  spares: 0,
  idleTimeout: 0,
  logger: false,
})
const counts = { right: 0, wrong: 0, refused: 0, cut: 0, left: 0, deaths: 0, evict: 0, reload: 0 }
subscribe('tenantry:context:exit', () => { counts.deaths++ })
const daemons = new Set()
subscribe('tenantry:daemon:state', ({ pid, to }) => {
  if (to === 'serving') daemons.add(pid)
  if (to === 'exited') daemons.delete(pid)
})
const witnesses = new Witnesses(folder)

const server = await runtime.listen({ port: 0, host: '127.0.0.1' })
const { port } = server.address()
const hosts = HOSTS.map((host) => `${host}:${port}`)

/** Descriptors of this process and of its daemons. */
function open() {
  return [process.pid, ...daemons].map((pid) => readdirSync(`/proc/${pid}/fd`).filter((fd) => isOurs(pid, fd)).length)
}

/**
 * On Node 20 a thread that is ended while it loads leaves the modules open that it was reading, one time in forty:
 * `new Worker` and terminate() alone do. They are no connection's.
 */
function isOurs(pid, fd) {
  if (!process.version.startsWith('v20.')) return true
  try {
    return !/\.m?js$/.test(readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    return true
  }
}

/** Of this process and of each daemon. */
function alive() {
  const { contexts, processGroups } = runtime.stats()
  return [contexts, ...processGroups.flatMap(({ processes }) => processes.map((one) => one.contexts))]
}

/** With no context left, and nothing of a client: the fewest that stay for a while. */
async function quiet() {
  const begun = performance.now()
  for (const host of hosts) await runtime.evict(host).catch(() => {})
  let [found, since] = ['', begun]
  for (; performance.now() < begun + AT_MOST && !(performance.now() > since + STAYS); await sleep(20)) {
    const isOver = alive().every(({ starting, serving, draining }) => starting + serving + draining === 0)
    const now = isOver ? JSON.stringify(open()) : ''
    if (now === '' || now !== found) since = performance.now()
    found = now
  }
  return JSON.parse(found || '[]')
}

async function churn(many) {
  let begun = 0
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (begun < many) {
      begun++
      const host = oneOf(hosts)
      const end = random() < 2 / DEATHS ? oneOf(['evict', 'reload']) : undefined
      if (end !== undefined) void runtime[end](host).then((was) => { counts[end] += Number(was) }, () => {})
      const path = random() < 2 / DEATHS ? oneOf(['/exit', '/throw']) : oneOf(['/', '/', '/', '/late'])
      counts[await openClient(port, host, path, random)]++
      witnesses.turn()
    }
  }))
}

// Sooner than at the end: who lost a number that everything hangs on, comes to none.
const looks = setInterval(() => {
  const confused = witnesses.look()
  if (confused.length === 0) return
  console.log(JSON.stringify({ connections, seed: Number(values.seed), ...counts, confused }))
  rmSync(folder, { recursive: true, force: true })
  process.exit(1)
}, 100)

try {
  // What is loaded and opened once, is open from now on.
  await churn(Math.min(300, connections))
  const before = await quiet()
  await churn(connections)
  const after = await quiet()
  const { lanes } = runtime.stats()
  console.log(JSON.stringify({ connections, seed: Number(values.seed), before, after, ...counts, confused: witnesses.look(), lanes }))
  clearInterval(looks)
  await runtime.close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
