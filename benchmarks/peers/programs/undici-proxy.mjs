// The fastest way to such a proxy: undici's stream() into the response, over kept connections (undici's own documentation
// of Dispatcher.stream calls it the faster one).
import { createServer } from 'node:http'
import { Pool } from 'undici'
import { startChildren } from './children.mjs'

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'expect'])
const pools = new Map([...await startChildren()].map(([host, port]) => [host, new Pool(`http://127.0.0.1:${port}`)]))

const server = createServer((request, response) => {
  const { method, url, headers } = request
  const pool = pools.get(headers.host)
  if (pool === undefined) return response.writeHead(421).end()
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)))
  const body = method === 'GET' || method === 'HEAD' ? null : request
  void pool.stream({ method, path: url, headers: kept, body }, ({ statusCode, headers: answered }) => {
    const fields = Object.entries(answered).filter(([name]) => !HOP_BY_HOP.has(name))
    return response.writeHead(statusCode, Object.fromEntries(fields))
  }).catch(() => response.headersSent ? response.destroy() : response.writeHead(502).end())
})
server.listen(Number(process.argv[2]), '127.0.0.1')
