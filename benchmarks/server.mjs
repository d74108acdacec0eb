// A contender: a server program in a process of its own, and what the kernel says about that process.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { contenders } from './contenders.mjs'
import { processTree } from './process-tree.mjs'

const START = 60_000
/** For those who remove files of theirs. */
const END = 5000
const SAMPLE = 50

/**
 * Starts a contender, or a program of servers/ that only one case knows, and waits for the line that names its URL.
 * `env`: BENCH_APP and BENCH_OTHER, files of servers/, are what it serves instead of the usual applications;
 * BENCH_THREADS, how many contexts the first of them has.
 */
export async function startServer(name, env = {}) {
  const { program, args = [] } = contenders[name] ?? { program: `servers/${name}.mjs` }
  const file = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env: { ...process.env, NODE_ENV: 'production', ...env },
  })
  const exited = once(child, 'exit')
  /** Nothing of it runs afterwards: what the next one is measured beside. */
  const stop = async () => {
    const [, ...below] = processTree(child.pid)
    child.kill('SIGTERM')
    // Apache takes ten seconds to end its children in peace.
    for (const pid of below) killUnlessGone(pid)
    await Promise.race([exited, sleep(END)])
    child.kill('SIGKILL')
    await exited
  }
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${name} did not listen within ${START} ms`)), START)
    exited.then(([code]) => reject(new Error(`${name} ended with ${code}`)), reject)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on (https?:\S+)/.exec(line)
      if (found === null) return
      clearTimeout(late)
      resolve(found[1])
    })
  }).catch(async (/** @type {unknown} */ error) => {
    await stop()
    throw error
  })
  return {
    name,
    url,
    pid: child.pid,
    /** How many connections took which lane, said by servers/tenantry.mjs. */
    async lanes() {
      child.send('lanes')
      const [answer] = await once(child, 'message')
      return answer
    },
    stop,
  }
}

function killUnlessGone(pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
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
