// The applications in contexts of their own: tenantry.mjs '{"lane":"relay","processes":false,"tls":false}'; with `tls`, each
// of them has a certificate. To any message it answers how many connections took which lane.
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../../dist/index.js'
import './end-with-runner.mjs'

const { lane, processes = false, tls = false } = JSON.parse(process.argv[2])
const app = (name) => fileURLToPath(new URL(name, import.meta.url))
const own = tls ? { tls: { cert: app('tls/cert.pem'), key: app('tls/key.pem') } } : {}
const runtime = createRuntime({
  tenants: {
    'bench.example.test': { entry: app(process.env.BENCH_APP ?? 'app.mjs'), threads: Number(process.env.BENCH_THREADS ?? 1), ...own },
    'other.example.test': { entry: app(process.env.BENCH_OTHER ?? 'other-app.mjs'), ...own },
  },
  lane,
  ...(processes && { processGroup: 'pool', processGroups: { pool: {} } }),
  logger: false,
})
const server = await runtime.listen({ host: '127.0.0.1', port: 0, ...(tls && { tls: {} }) })
console.log(`listening on ${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`)
process.on('message', () => process.send(runtime.stats().lanes))
