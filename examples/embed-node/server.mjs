// Tenants inside a plain node:http server.
import { createServer } from 'node:http'
import { createRuntime } from 'tenantry'

const runtime = createRuntime({ tenants: `${import.meta.dirname}/../tenants` })

const server = createServer((request, response) => {
  // A host that is no tenant's comes back here.
  runtime.handler(request, response, () => response.end('outer\n'))
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})

process.once('SIGTERM', async () => {
  server.close()
  await runtime.close()
})
