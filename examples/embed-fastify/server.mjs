// Tenants inside a Fastify application: one plugin.
import Fastify from 'fastify'
import { createRuntime } from 'tenantry'
import { tenantry } from 'tenantry/fastify'

const runtime = createRuntime({ tenants: `${import.meta.dirname}/../tenants` })

const app = Fastify()
app.register(tenantry, { runtime })
app.get('/', () => 'outer\n')

const url = await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' })
console.log(`listening on ${url}`)

process.once('SIGTERM', async () => {
  await app.close()
  await runtime.close()
})
