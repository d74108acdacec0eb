// The application in a context of a daemon, as `tenantry serve` runs it.
import { fileURLToPath } from 'node:url'
import { createRuntime } from '../../dist/index.js'

const app = fileURLToPath(new URL('app.mjs', import.meta.url))
const runtime = createRuntime({
  tenants: { 'bench.example.test': app }, processGroup: 'pool', processGroups: { pool: {} }, logger: false,
})
const server = await runtime.listen({ host: '127.0.0.1', port: 0 })
console.log(`listening on http://127.0.0.1:${server.address().port}`)
