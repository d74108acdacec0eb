// The load generator: a process of its own. wrk where there is one, else autocannon.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { request as requestSecurely } from 'node:https'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LUA = fileURLToPath(new URL('load.lua', import.meta.url))

/** The host that is loaded, and another one with an application of its own. */
export const HOST = 'bench.example.test'
export const OTHER_HOST = 'other.example.test'

/** Name and version of the generator that this machine has. */
export const generator = findGenerator()

function findGenerator() {
  try {
    execFileSync('wrk', ['-v'], { stdio: ['ignore', 'pipe', 'ignore'] })
  } catch (error) {
    // `wrk -v` prints its version and ends with 1.
    if (error.code === 'ENOENT') return `autocannon ${createRequire(import.meta.url)('autocannon/package.json').version}`
    return String(error.stdout).split(' [')[0].trim()
  }
  return 'wrk'
}

/**
 * Loads `url` for some seconds; resolves with { requests, bytes, seconds, errors, p50, p99 }, latencies in milliseconds.
 * An answer that is an error is an error here as well: a broken server is often a fast one.
 */
export async function load(url, { seconds, connections, host = HOST, method = 'GET', bodyBytes = 0, headers = {} }) {
  const settings = {
    seconds, connections, method, bodyBytes,
    // wrk adds a Host of its own unless it finds one written so.
    headers: { Host: host, ...headers },
  }
  const result = generator.startsWith('wrk') ? await loadWithWrk(url, settings) : await loadWithAutocannon(url, settings)
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.requests} requests to ${url} failed`)
  if (result.requests === 0) throw new Error(`no request to ${url} was answered within ${seconds} s`)
  return result
}

async function loadWithWrk(url, { seconds, connections, method, bodyBytes, headers }) {
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '10s']
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`)
  args.push('-s', LUA, url, '--', method)
  if (bodyBytes > 0) args.push(String(bodyBytes))
  const { stdout } = await run('wrk', args)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1))
}

async function loadWithAutocannon(url, { seconds, connections, method, bodyBytes, headers }) {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-bench-'))
  try {
    const body = join(folder, 'body')
    const main = createRequire(import.meta.url).resolve('autocannon')
    const args = [main, '--json', '-c', String(connections), '-d', String(seconds), '-m', method]
    for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}=${value}`)
    if (bodyBytes > 0) {
      writeFileSync(body, 'x'.repeat(bodyBytes))
      args.push('-i', body)
    }
    const { stdout } = await run(process.execPath, [...args, url], { maxBuffer: 16 * 1024 * 1024 })
    const result = JSON.parse(stdout)
    return {
      requests: result.requests.total,
      bytes: result.throughput.total,
      seconds: result.duration,
      errors: result.errors + result.timeouts + result.non2xx,
      p50: result.latency.p50,
      p99: result.latency.p99,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A client of ours in a process of its own: clients/NAME.mjs URL '{…}' prints what it found as its last line. */
export async function client(name, url, settings) {
  const file = fileURLToPath(new URL(`clients/${name}.mjs`, import.meta.url))
  const { stdout } = await run(process.execPath, [file, url, JSON.stringify(settings)], { maxBuffer: 16 * 1024 * 1024 })
  return JSON.parse(stdout.trimEnd().split('\n').at(-1))
}

/** One plain request: what was answered, and how long that took. Long bodies are only counted. */
export function ask(url, { host = HOST, method = 'GET', bodyBytes = 0, headers = {}, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const since = performance.now()
    const secure = url.startsWith('https:') && { servername: host, rejectUnauthorized: false }
    const outgoing = (secure ? requestSecurely : request)(url, { method, agent, headers: { host, ...headers }, ...secure }, (incoming) => {
      let bytes = 0
      let text = ''
      incoming.on('data', (chunk) => {
        bytes += chunk.length
        if (text.length < 1000) text += chunk.toString('latin1').slice(0, 1000)
      })
      incoming.on('error', reject)
      incoming.on('end', () => resolve({ status: incoming.statusCode, bytes, text, headers: incoming.headers, milliseconds: performance.now() - since }))
    })
    outgoing.on('error', reject)
    outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`${url} did not answer`)))
    outgoing.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
  })
}
