// Tenants inside a Koa application: one middleware.
import Koa from 'koa'
import { createRuntime } from 'tenantry'
import { tenantry } from 'tenantry/koa'

const runtime = createRuntime({ tenants: `${import.meta.dirname}/../tenants` })

const app = new Koa()
app.use(tenantry(runtime))
app.use((ctx) => {
  ctx.body = 'outer\n'
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})

process.once('SIGTERM', async () => {
  server.close()
  await runtime.close()
})
