// The smallest application: a (request, response) function.
let requests = 0

export default function handle(request, response) {
  if (request.url === '/address') {
    response.end(`${request.socket.remoteAddress}\n`)
    return
  }
  requests += 1
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ application: 'plain', requests, group: process.env.TENANTRY_APPLICATION_GROUP }))
}
