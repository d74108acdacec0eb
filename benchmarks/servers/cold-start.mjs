// Contexts that are there when they are asked for, or not: each name below a wildcard is a context of its own. The hosts
// below `worker` have no tenant: a bare worker imports the same application, and this process answers. BENCH_SPARES: how
// many booted contexts it keeps.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import * as module from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { createRuntime } from '../../dist/index.js'
import './end-with-runner.mjs'

const file = (name) => fileURLToPath(new URL(name, import.meta.url))
const APPS = { hello: file('app.mjs'), express: file('express-app.mjs') }
const WORKER = file('cold-start-worker.mjs')
const spares = Number(process.env.BENCH_SPARES)
const cache = mkdtempSync(path.join(tmpdir(), 'tenantry-coldstart-'))
process.on('exit', () => rmSync(cache, { recursive: true, force: true }))
process.on('SIGTERM', () => process.exit())

const runtime = createRuntime({
  tenants: Object.fromEntries(Object.entries(APPS).map(([name, entry]) => [`*.${name}.test`, entry])),
  maxStarts: 1_000_000,
  spares,
  logger: false,
})
let last

const server = createServer((request, response) => {
  const { host } = request.headers
  const [kind, app] = host.split('.')
  if (host === 'end.test') return void end().then(() => response.end(JSON.stringify({ fromSpares: runtime.stats().fromSpares })))
  if (kind === 'worker') return startWorker(response, { entry: APPS[app] })
  if (kind === 'cached') {
    if (module.enableCompileCache === undefined) return response.writeHead(501).end()
    return startWorker(response, { entry: APPS[app], cache })
  }
  last = host
  runtime.handler(request, response)
})
await runtime.start()
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))

function startWorker(response, workerData) {
  last = new Worker(WORKER, { workerData, env: {} })
  last.once('message', (milliseconds) => response.setHeader('x-import', milliseconds).end('Hello, World!'))
}

/**
 * Whatever the last answer came from is gone when this resolves, and all spares are there: nothing that is left to do costs
 * the next start anything.
 */
async function end() {
  if (typeof last === 'string') await runtime.evict(last.replace(/:\d+$/, ''))
  else await last?.terminate()
  while (runtime.stats().spares < spares) await sleep(5)
}
