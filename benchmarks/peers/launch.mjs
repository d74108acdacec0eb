// Starts a server that is not ours, says when it answers, and ends it when we are told to end.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const NODE_24 = fileURLToPath(new URL('../../test/matrix/node_modules/node24/bin/node', import.meta.url))
const START = 45_000
const PAUSE = 50

/** The newest long-term line, where `npm ci --prefix test/matrix` has been run; else the Node that runs this. */
export function newerNode() {
  return existsSync(NODE_24) ? NODE_24 : process.execPath
}

/** A port that nobody has, for servers that do not say which one they took. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** `folder`: removed at the end. What the server prints goes to stderr: stdout is for the line that names the URL. */
export async function launch(command, args, { port, cwd, env, folder, host = 'bench.example.test' }) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 2, 2] })
  child.on('error', (error) => {
    console.error(`${command}: ${error.message}`)
    process.exit(1)
  })
  process.on('exit', () => {
    child.kill('SIGTERM')
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) {
    process.on(event, () => {
      child.kill('SIGTERM')
      child.once('exit', () => process.exit())
    })
  }
  child.once('exit', (code) => process.exit(code ?? 1))
  for (const since = performance.now(); !(await answers(port, host));) {
    if (performance.now() - since > START) throw new Error(`${command} did not answer within ${START} ms`)
    await sleep(PAUSE)
  }
  console.log(`listening on http://127.0.0.1:${port}`)
}

function answers(port, host) {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, agent: false, headers: { host }, timeout: 1000 }, (incoming) => {
      incoming.resume().on('end', () => resolve(incoming.statusCode === 200)).on('error', () => resolve(false))
    }).on('error', () => resolve(false)).on('timeout', function () {
      this.destroy()
    })
  })
}
