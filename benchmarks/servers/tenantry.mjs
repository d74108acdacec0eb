// The applications in contexts of their own: tenantry.mjs '{"lane":"relay","processes":false}'.
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../../dist/index.js'
import { OPTION_NAMES } from '../../dist/option-table.js'

const { lane, processes = false } = JSON.parse(process.argv[2])
const app = (name) => fileURLToPath(new URL(name, import.meta.url))
const runtime = createRuntime({
  tenants: { 'bench.example.test': app(process.env.BENCH_APP ?? 'app.mjs'), 'other.example.test': app(process.env.BENCH_OTHER ?? 'other-app.mjs') },
  ...(OPTION_NAMES.includes('lane') && { lane }),
  ...(processes && { processGroup: 'pool', processGroups: { pool: {} } }),
  logger: false,
})
const server = await runtime.listen({ host: '127.0.0.1', port: 0 })
console.log(`listening on http://127.0.0.1:${server.address().port}`)
