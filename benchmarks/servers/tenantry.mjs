// The applications in contexts of their own: tenantry.mjs '{"lane":"relay","processes":false}'. To
// any message it answers how many connections took which lane.
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../../dist/index.js'
import './end-with-runner.mjs'

const { lane, processes = false } = JSON.parse(process.argv[2])
const app = (name) => fileURLToPath(new URL(name, import.meta.url))
const runtime = createRuntime({
  tenants: {
    'bench.example.test': { entry: app(process.env.BENCH_APP ?? 'app.mjs'), threads: Number(process.env.BENCH_THREADS ?? 1) },
    'other.example.test': app(process.env.BENCH_OTHER ?? 'other-app.mjs'),
  },
  lane,
  ...(processes && { processGroup: 'pool', processGroups: { pool: {} } }),
  logger: false,
})
const server = await runtime.listen({ host: '127.0.0.1', port: 0 })
console.log(`listening on http://127.0.0.1:${server.address().port}`)
process.on('message', () => process.send(runtime.stats().lanes))
