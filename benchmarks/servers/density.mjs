// Tenants that have answered once and then idle, each host one of them. BENCH_KIND says as what: 'context' and 'daemon' are
// Tenantry's tiers; 'worker' is a bare worker that imports the same application, 'process' a process that serves it.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { createRuntime } from '../../dist/index.js'
import './end-with-runner.mjs'

const file = (name) => fileURLToPath(new URL(name, import.meta.url))
const APP = file('app.mjs')
const KINDS = {
  context: () => tenants({}),
  untrimmed: () => tenants({ trimTimeout: 0 }),
  daemon: () => tenants({ processGroup: 'pool', processGroups: { pool: {} } }),
  worker: () => async () => {
    await once(new Worker(file('density-worker.mjs'), { workerData: APP, env: {} }), 'message')
    return 'Hello, World!'
  },
  process: () => async () => {
    const [port] = await once(fork(file('density-process.mjs'), [APP], { env: {} }), 'message')
    return await (await fetch(`http://127.0.0.1:${port}/`)).text()
  },
}

const start = KINDS[process.env.BENCH_KIND]()
const server = createServer((request, response) => {
  if (start.length === 2) return start(request, response)
  void start().then((text) => response.end(text))
})
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))

function tenants(settings) {
  const { handler } = createRuntime({
    tenants: { '*.density.test': APP }, maxGroups: 1000, maxContexts: 1000, maxGroupsPerPattern: 1000, maxStarts: 1_000_000,
    idleTimeout: 0, spares: 0, logger: false, ...settings,
  })
  return (request, response) => handler(request, response)
}
