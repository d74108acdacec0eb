// Hono: the module exports an object with fetch(request).
import { Hono } from 'hono'

const app = new Hono()
let requests = 0

app.get('/', (c) => {
  requests += 1
  return c.json({ application: 'hono', requests, group: process.env.TENANTRY_APPLICATION_GROUP })
})

app.get('/hello/:name', (c) => c.text(`Hello, ${c.req.param('name')}\n`))

app.post('/echo', async (c) => c.json(await c.req.json(), 201))

export default app
