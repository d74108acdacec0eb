import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { createInterface } from 'node:readline'
import type { LogLine } from '../behaviour/house.ts'

const MAIN = 'dist/cli/main.js'

/** A machine for tests must survive a leak, too: past it the process is killed, which counts as lost. Bytes. */
const MEMORY_CEILING = 6 * 1024 ** 3

const LIMITS = [
  '--memory-limit', '64mb', '--deadlock-timeout', '1s', '--handler-timeout', '2500ms', '--startup-timeout', '2s',
  '--terminate-timeout', '8s', '--drain-timeout', '500ms', '--max-contexts', '100',
]

/** The real command in a process group of its own, of which nothing stays behind. */
export interface Prison {
  readonly pid: number
  readonly port: number
  readonly log: readonly LogLine[]
  readonly alive: () => boolean
  readonly kill: () => Promise<void>
}

/** How connections reach a context. Handed over, a client does not hear what became of it: its connection breaks off. */
export type PrisonLane = 'relay' | 'handoff'

export async function openPrison(folder: string, lane: PrisonLane, flags: readonly string[] = LIMITS): Promise<Prison> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TENANTRY_|NODE_TEST)/.test(name)))
  const child = spawn(process.execPath, [MAIN, 'serve', folder, '--lane', lane, '--port', '0', ...flags], {
    env, detached: true, stdio: ['ignore', 'pipe', 'ignore'],
  })
  const pid = child.pid as number
  let over = false
  const ended = new Promise<void>((resolve) => child.once('exit', () => { over = true; resolve() }))
  const log: LogLine[] = []
  const kill = async (): Promise<void> => {
    clearInterval(guard)
    // The whole group: what a tenant started goes with the server.
    try { process.kill(-pid, 'SIGKILL') } catch { /* nobody is left */ }
    await ended
    child.stdout.destroy()
  }
  const guard = setInterval(() => { if (memoryOf(pid) > MEMORY_CEILING) child.kill('SIGKILL') }, 100)
  const port = await new Promise<number>((resolve, reject) => {
    void ended.then(() => reject(new Error('the server ended before it listened')))
    createInterface({ input: child.stdout }).on('line', (text) => {
      // A tenant's endless output must not fill the test's memory.
      if (log.length > 50_000) return
      const line = JSON.parse(text) as LogLine
      log.push(line)
      if (line.msg === 'listening') resolve(Number(new URL(line['url'] as string).port))
    })
  })
  return { pid, port, log, alive: () => !over, kill }
}

/** With its daemons. */
function memoryOf(pid: number): number {
  try {
    const own = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
    return children.reduce((sum, child) => sum + memoryOf(Number(child)), own)
  } catch {
    return 0
  }
}

/** What the bad tenant's client gets; it reads nothing of an answer before `patience` milliseconds are over. */
export function attack(port: number, host: string, patience: number): Promise<string> {
  return new Promise((resolve) => {
    const headers = { host, accept: 'application/problem+json' }
    const outgoing = http.get({ host: '127.0.0.1', port, path: '/go', agent: false, headers })
    outgoing.setTimeout(patience, () => outgoing.destroy())
    outgoing.on('error', () => resolve('no answer'))
    outgoing.on('response', (incoming) => {
      const status = incoming.statusCode ?? 0
      const isEndless = incoming.headers['content-length'] === undefined && status === 200
      let text = ''
      incoming.setEncoding('utf8').on('error', () => {})
      incoming.on('close', () => {
        if (!incoming.complete) resolve(`${status}, cut off`)
        else resolve(status === 200 ? `200 ${text}` : `${status} \`${(JSON.parse(text) as { code: string }).code}\``)
      })
      const read = (): void => void incoming.on('data', (part: string) => { if (text.length < 1e4) text += part })
      if (isEndless) setTimeout(read, 2500)
      else read()
    })
  })
}
