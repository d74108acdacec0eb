import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { LogLine } from './house.ts'

/** The real command, as package.json's bin names it. */
const MAIN = 'dist/cli/main.js'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Command {
  readonly pid: number
  readonly log: readonly LogLine[]
  readonly ended: Promise<Ended>
  readonly stderr: () => string
  readonly kill: (signal: NodeJS.Signals) => void
}

/** Runs `tenantry …args`; killed when the test ends. */
export function runCommand(t: TestContext, args: readonly string[], env: NodeJS.ProcessEnv = {}): Command {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TENANTRY_|NODE_TEST)/.test(name)))
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...own, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<Ended>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const log: LogLine[] = []
  let stderr = ''
  createInterface({ input: child.stdout }).on('line', (line) => log.push(parse(line)))
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  return { pid: child.pid as number, log, ended, stderr: () => stderr, kill: (signal) => void child.kill(signal) }
}

/** `tenantry serve`, once it listens. */
export async function serve(t: TestContext, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Command & { port: number; url: string }> {
  const command = runCommand(t, ['serve', '--port', '0', ...args], env)
  const { url } = (await line(command, ({ msg }) => msg === 'listening')) as unknown as { url: string }
  return { ...command, url, port: Number(new URL(url).port) }
}

/** The first line of the log that fits, from `from` on. */
export async function line(command: Command, fits: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
  let over: Ended | undefined
  void command.ended.then((ended) => { over = ended })
  const deadline = Date.now() + 15_000
  for (;;) {
    const found = command.log.slice(from).find(fits)
    if (found !== undefined) return found
    if (over !== undefined || Date.now() > deadline) {
      throw new Error(`no such line; ${JSON.stringify(over)}; stderr:\n${command.stderr()}\nlog:\n${JSON.stringify(command.log.slice(-20), null, 1)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Resident memory of a process in bytes, where the system says it. */
export function residentMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

function parse(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return { level: 0, msg: text }
  }
}
