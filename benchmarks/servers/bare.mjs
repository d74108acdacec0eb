// The bound: the application on node:http, nothing else. A program that listens itself does so.
import { createServer } from 'node:http'
import './end-with-runner.mjs'

const { default: app } = await import(`./${process.env.BENCH_APP ?? 'app.mjs'}`)
// Two applications in one process, which share all that a process has: what BENCH_OTHER is about.
const other = process.env.BENCH_OTHER === undefined ? undefined : (await import(`./${process.env.BENCH_OTHER}`)).default

// It is gone as it would be, without the stack among the figures.
if (other !== undefined) process.on('uncaughtException', () => process.exit(1))

if (app !== undefined) {
  const server = createServer(other === undefined ? app : (request, response) =>
    request.headers.host === 'other.example.test' ? other(request, response) : app(request, response))
  server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
}
