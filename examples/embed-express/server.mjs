// Tenants inside an Express application: one middleware. Put it before a body parser.
import express from 'express'
import { createRuntime } from 'tenantry'

const runtime = createRuntime({ tenants: `${import.meta.dirname}/../tenants` })

const app = express()
app.use(runtime.handler)
app.get('/', (request, response) => response.type('text').send('outer\n'))

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})

process.once('SIGTERM', async () => {
  server.close()
  await runtime.close()
})
