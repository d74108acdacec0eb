// Contexts that come and go: any name below the wildcard is a group of its own, and there is room for few of them.
// One host is not a tenant: it answers with what the process holds now.
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createRuntime } from '../../dist/index.js'
import './end-with-runner.mjs'

const FIGURES = 'figures.example.test'
const app = fileURLToPath(new URL('app.mjs', import.meta.url))

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

const runtime = createRuntime({
  tenants: { '*.churn.example.test': app },
  maxContexts: 6,
  maxGroups: 4,
  maxGroupsPerPattern: 4,
  // The rate is what is measured, not what is limited here.
  maxStarts: 1_000_000,
  logger: false,
})
const server = createServer((request, response) => {
  if (request.headers.host !== FIGURES) return runtime.handler(request, response)
  response.end(JSON.stringify(figures()))
})
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))

function figures() {
  const found = process.memoryUsage.rss()
  collect()
  collect()
  const { rss, heapUsed, external } = process.memoryUsage()
  const { births, contexts, zombies } = runtime.stats()
  return {
    births, contexts, zombies, resident: found, residentCollected: rss, heapUsed, external,
    descriptors: countOf('/proc/self/fd'), threads: countOf('/proc/self/task'),
  }
}

/** undefined where there is no /proc. */
function countOf(folder) {
  return process.platform === 'linux' ? readdirSync(folder).length : undefined
}
