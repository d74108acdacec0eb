// Tenants inside a Hono application on Node: one middleware.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createRuntime } from 'tenantry'
import { tenantry } from 'tenantry/hono'

const runtime = createRuntime({ tenants: `${import.meta.dirname}/../tenants` })

const app = new Hono()
app.use(tenantry(runtime))
app.get('/', (c) => c.text('outer\n'))

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }, ({ port }) => {
  console.log(`listening on http://127.0.0.1:${port}`)
})

process.once('SIGTERM', async () => {
  server.close()
  await runtime.close()
})
