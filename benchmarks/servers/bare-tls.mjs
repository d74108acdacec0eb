// The bound over TLS: both applications on one node:https, nothing else.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import app from './app.mjs'
import other from './other-app.mjs'
import './end-with-runner.mjs'

const file = (name) => readFileSync(new URL(`tls/${name}.pem`, import.meta.url))
const server = createServer({ cert: file('cert'), key: file('key') }, (request, response) =>
  request.headers.host === 'other.example.test' ? other(request, response) : app(request, response))
server.listen(0, '127.0.0.1', () => console.log(`listening on https://127.0.0.1:${server.address().port}`))
