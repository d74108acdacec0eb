// A program as in Node's documentation: createServer(), listen(). No port is bound; the server becomes the handler.
import { createServer } from 'node:http'
import { count } from '../../shared/counter.mjs'

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  if (request.url === '/headers') {
    response.end(JSON.stringify(request.headers))
  } else if (request.url === '/') {
    const group = process.env.TENANTRY_APPLICATION_GROUP
    response.end(JSON.stringify({ application: 'program', requests: count(), group }))
  } else {
    response.statusCode = 404
    response.end(JSON.stringify({ error: 'not found' }))
  }
})

server.listen(3000, () => {
  console.log(`program listens on port ${server.address().port}`)
})
