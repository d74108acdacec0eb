// The applications in contexts of their own: tenantry.mjs '{"lane":"relay","processes":false}'. Asked 'lanes', it says how
// many connections went which way.
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../../dist/index.js'
import { OPTION_NAMES } from '../../dist/option-table.js'

const { lane, processes = false } = JSON.parse(process.argv[2])
const app = (name) => fileURLToPath(new URL(name, import.meta.url))
const runtime = createRuntime({
  tenants: { 'bench.example.test': app('app.mjs'), 'other.example.test': app('other-app.mjs') },
  ...(OPTION_NAMES.includes('lane') && { lane }),
  ...(processes && { processGroup: 'pool', processGroups: { pool: {} } }),
  logger: false,
})
const server = await runtime.listen({ host: '127.0.0.1', port: 0 })
console.log(`listening on http://127.0.0.1:${server.address().port}`)
