// The load generator: a process of its own. wrk where there is one, else autocannon.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LUA = fileURLToPath(new URL('load.lua', import.meta.url))

/** The one host that contenders serve. */
export const HOST = 'bench.example.test'

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
export async function load(url, { seconds, connections, method = 'GET', bodyBytes = 0 }) {
  const result = generator.startsWith('wrk')
    ? await loadWithWrk(url, { seconds, connections, method, bodyBytes })
    : await loadWithAutocannon(url, { seconds, connections, method, bodyBytes })
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.requests} requests to ${url} failed`)
  if (result.requests === 0) throw new Error(`no request to ${url} was answered within ${seconds} s`)
  return result
}

async function loadWithWrk(url, { seconds, connections, method, bodyBytes }) {
  const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '10s']
  args.push('-H', `Host: ${HOST}`, '-s', LUA, url, '--', method)
  if (bodyBytes > 0) args.push(String(bodyBytes))
  const { stdout } = await run('wrk', args)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1))
}

async function loadWithAutocannon(url, { seconds, connections, method, bodyBytes }) {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-bench-'))
  try {
    const body = join(folder, 'body')
    const main = createRequire(import.meta.url).resolve('autocannon')
    const args = [main, '--json', '-c', String(connections), '-d', String(seconds), '-m', method, '-H', `host=${HOST}`]
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

/** One plain request, to see that the answer is right before its speed is measured. Long bodies are only counted. */
export function ask(url, { method = 'GET', bodyBytes = 0 } = {}) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, agent: false, headers: { host: HOST } }, (incoming) => {
      let bytes = 0
      let text = ''
      incoming.on('data', (chunk) => {
        bytes += chunk.length
        if (text.length < 1000) text += chunk.toString('latin1').slice(0, 1000)
      })
      incoming.on('error', reject)
      incoming.on('end', () => resolve({ status: incoming.statusCode, bytes, text }))
    })
    outgoing.on('error', reject)
    outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`${url} did not answer`)))
    outgoing.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
  })
}
