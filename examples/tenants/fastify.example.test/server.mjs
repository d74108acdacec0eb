// Fastify 5, started as in its own documentation. It "listens" on 3000, and so does program.example.test.
import Fastify from 'fastify'
import { count } from '../../shared/counter.mjs'

const app = Fastify()

app.get('/', () => ({ application: 'fastify', requests: count(), group: process.env.TENANTRY_APPLICATION_GROUP }))

const user = { params: { type: 'object', properties: { id: { type: 'integer' } } } }
app.get('/users/:id', { schema: user }, (request) => ({ id: request.params.id, name: `user ${request.params.id}` }))

app.post('/echo', (request, reply) => reply.code(201).send(request.body))

await app.listen({ port: 3000 })
