// Piscina with a task for each request: what is done to keep CPU work off the loop. A pool of one thread for each host, so
// that applications share nothing, which lives as long as the server does (its README, "idleTimeout" and "minThreads").
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'

const WORKER = fileURLToPath(new URL('piscina-worker.mjs', import.meta.url))
const APPS = { 'bench.example.test': 'Hello, World!', 'other.example.test': 'Hello, Other!' }
const pools = new Map(Object.entries(APPS).map(([host, text]) =>
  [host, new Piscina({ filename: WORKER, minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 16, workerData: text })]))

const server = createServer((request, response) => {
  const { method, url, headers } = request
  const pool = pools.get(headers.host)
  if (pool === undefined) return response.writeHead(421).end()
  void pool.run({ method, url, headers }).then(
    (answer) => response.writeHead(answer.status, answer.headers).end(answer.body),
    () => response.writeHead(502).end(),
  )
})
server.listen(Number(process.argv[2]), '127.0.0.1')
