// undici-thread-interceptor behind node:http: each host is a thread, and each request goes to it through an undici Agent
// composed with the interceptor, as its README shows.
import { createServer } from 'node:http'
import { pipeline } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Agent, request as send } from 'undici'
import { createThreadInterceptor } from 'undici-thread-interceptor'

const WORKER = fileURLToPath(new URL('thread-interceptor-worker.mjs', import.meta.url))
const APPS = { 'bench.example.test': '../../servers/app.mjs', 'other.example.test': '../../servers/other-app.mjs' }

const interceptor = createThreadInterceptor({ domain: '.example.test' })
for (const [host, entry] of Object.entries(APPS)) {
  await interceptor.route(host.split('.')[0], new Worker(WORKER, { workerData: new URL(entry, import.meta.url).href }))
}
const dispatcher = new Agent().compose(interceptor)

const server = createServer((request, response) => {
  const { method, url, headers } = request
  if (!(headers.host in APPS)) return response.writeHead(421).end()
  const body = method === 'GET' || method === 'HEAD' ? null : request
  void send(`http://${headers.host}${url}`, { method, headers, body, dispatcher }).then((answer) => {
    // A client that has left while its answer was on its way.
    if (response.destroyed) return answer.body.on('error', () => {}).destroy()
    response.writeHead(answer.statusCode, answer.headers)
    pipeline(answer.body, response, () => {})
  }, () => response.writeHead(502).end())
})
server.listen(Number(process.argv[2]), '127.0.0.1')
