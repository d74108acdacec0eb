// http-proxy-3 to a child process for each host, over kept connections: an agent with keepAlive is what its README shows
// for more than a few requests (github.com/sagemathinc/http-proxy-3#options, "agent").
import { Agent, createServer } from 'node:http'
import proxies from 'http-proxy-3'
import { startChildren } from './children.mjs'

const ports = await startChildren()
const proxy = proxies.createProxyServer({ agent: new Agent({ keepAlive: true }) })
proxy.on('error', (error, request, response) => response.writeHead(502).end())

const server = createServer((request, response) => {
  const port = ports.get(request.headers.host)
  if (port === undefined) return response.writeHead(421).end()
  proxy.web(request, response, { target: { host: '127.0.0.1', port } })
})
server.listen(Number(process.argv[2]), '127.0.0.1')
