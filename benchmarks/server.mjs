// A contender: a server program in a process of its own, and what the kernel says about that process.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const START = 20_000
const SAMPLE = 50

/** Starts benchmarks/servers/NAME.mjs and waits for the line that names its URL. */
export async function startServer(name) {
  const file = fileURLToPath(new URL(`servers/${name}.mjs`, import.meta.url))
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${name} did not listen within ${START} ms`)), START)
    exited.then(([code]) => reject(new Error(`${name} ended with ${code}`)), reject)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on (http:\S+)/.exec(line)
      if (found === null) return
      clearTimeout(late)
      resolve(found[1])
    })
  }).catch((/** @type {unknown} */ error) => {
    child.kill('SIGKILL')
    throw error
  })
  return {
    name,
    url,
    pid: child.pid,
    async stop() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

const ticksPerSecond = process.platform === 'linux' ? Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : 0

/** CPU seconds, user and system, of all threads of a process; undefined where there is no /proc. */
export function cpuSeconds(pid) {
  if (ticksPerSecond === 0) return undefined
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name and may hold spaces and brackets; counting starts after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Resident bytes of a process now; undefined where there is no /proc. */
export function residentBytes(pid) {
  if (process.platform !== 'linux') return undefined
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(kilobytes[1]) * 1024
}

/** Watches memory; the returned function ends it and gives the largest value seen. */
export function watchMemory(read) {
  let peak = read()
  if (peak === undefined) return () => undefined
  const timer = setInterval(() => { peak = Math.max(peak, read()) }, SAMPLE)
  return () => {
    clearInterval(timer)
    return Math.max(peak, read())
  }
}
