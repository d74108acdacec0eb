import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { TenantryError } from '../errors.ts'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Contender } from './contenders.ts'
import type { LoadRequest } from '../wire/frames.ts'

/** What every contender is started from. */
export interface Stage {
  /** The command's own main module: what users start is what is measured. */
  readonly program: string
  /** A configuration file whose one tenant is the application. */
  readonly config: string
  readonly host: string
  readonly directory: string
  /** As a context would be told. */
  readonly load: LoadRequest
  readonly env: Readonly<Record<string, string>>
}

/** A contender that serves. */
export interface Served {
  readonly pid: number
  readonly port: number
  /** Whether it can hand connections over; false for node:http. */
  readonly handsOver: boolean
  /** Rejects when it ends by itself, saying what it said last. */
  readonly ended: Promise<never>
  stop(): Promise<void>
  /** How many connections took which lane; known when it has been stopped, and undefined where it does not say. */
  lanes(): LaneCounts | undefined
}

/** As `stats()` counts them. */
export interface LaneCounts {
  readonly handoff: number
  readonly relay: Readonly<Record<string, number>>
}

const BARE_SERVER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './bare-server.ts' : './bare-server.js', import.meta.url))

/** Milliseconds until a server must listen. */
const START = 30_000

/** Milliseconds that a server has to end by itself, so that an application can tidy up. */
const END = 3000

/** Milliseconds after its end within which what a server said last has come. */
const LAST_WORDS = 500

/** What is kept of what a server says, for the message when it fails. */
const SAID = 8192

/**
 * Starts a contender and waits until it listens.
 * @throws TenantryError ERR_BENCH when it does not, in one line, and whatever `signal` is aborted with
 */
export async function startContender(contender: Contender, stage: Stage, signal: AbortSignal): Promise<Served> {
  signal.throwIfAborted()
  const child = contender.flags === undefined ? spawnBare(stage) : spawnServe(contender.flags, stage)
  const said = new Said(child)
  const exited = new Promise<void>((resolve) => {
    // What it said last comes with 'close', which a process that it left behind could put off for ever.
    child.once('close', () => resolve())
    child.once('exit', () => setTimeout(resolve, LAST_WORDS))
  })
  const ended = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(failure(`${contender.name} cannot be started: ${error.message}`)))
    // 'close' and not 'exit': by then everything that it said has come.
    child.once('close', (code, killed) => reject(failure(`${contender.name} ended with ${killed ?? code}: ${said.reason(code)}`)))
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
    child.once('close', () => signal.removeEventListener('abort', onAbort))
  })
  // Whoever waits for it hears of it; when nobody does, it is no uncaught error.
  ended.catch(() => {})
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), signal.aborted ? 500 : END)
    await exited
    clearTimeout(late)
  }
  try {
    const told = new Told(child, contender)
    const { port, handsOver } = await Promise.race([told.listening, ended])
    return { pid: child.pid as number, port, handsOver, ended, stop, lanes: () => told.lanes }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A Ctrl-C in the terminal is for who measures, and ends the others: not that one of them failed. */
export const APART: Pick<SpawnOptions, 'detached' | 'windowsHide'> = { detached: process.platform !== 'win32', windowsHide: true }

/** The application and nothing else: in its folder, with the environment that its context would have. */
function spawnBare({ load, directory, env }: Stage): ChildProcess {
  const options: SpawnOptions = { ...APART, cwd: directory, env: { ...env }, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] }
  return spawn(process.execPath, [BARE_SERVER, JSON.stringify(load)], options)
}

function spawnServe(flags: readonly string[], { program, config, directory }: Stage): ChildProcess {
  // Settings for somebody's real server are not what is asked about here.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TENANTRY_')))
  const args = [program, 'serve', config, '--host', '127.0.0.1', '--port', '0', '--log-level', 'info', ...flags]
  return spawn(process.execPath, args, { ...APART, cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

interface Listening {
  readonly port: number
  readonly handsOver: boolean
}

/** What a server tells of itself: the bare one its port, the command its log. */
class Told {
  readonly listening: Promise<Listening>
  lanes: LaneCounts | undefined

  constructor(child: ChildProcess, { name, flags }: Contender) {
    const isBare = flags === undefined
    const lines = createInterface({ input: (isBare ? child.stdio[3] : child.stdout) as Readable })
    this.listening = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(failure(`${name} did not listen within ${START / 1000} s`)), START)
      child.once('exit', () => clearTimeout(late))
      // Read to its end, or a server that says much would stand still.
      lines.on('line', (line) => {
        const found = isBare ? { port: Number(line), handsOver: false } : this.#read(line)
        if (found === undefined) return
        clearTimeout(late)
        resolve(found)
      })
    })
  }

  /** Lines of the application stand in the same log; they have a context, and what is told here has none. */
  #read(line: string): Listening | undefined {
    if (!/"msg":"(listening|closed)"\}$/.test(line)) return undefined
    const { msg, url, lane, lanes, contextId } = JSON.parse(line) as Record<string, unknown>
    if (contextId !== undefined) return undefined
    if (msg === 'listening') return { port: Number(new URL(url as string).port), handsOver: lane === 'handoff' }
    this.lanes = lanes as LaneCounts
    return undefined
  }
}

/** The last that a server said, and the reason in it. */
class Said {
  #text = ''

  constructor(child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text = (this.#text + text).slice(-SAID)
      })
    }
  }

  reason(code: number | null): string {
    const lines = this.#text.split('\n').map((line) => line.trim()).filter(Boolean)
    const error = lines.find((line) => /^(\w*Error|Uncaught)\b/.test(line))
    // Node's own code where nothing is left that could end a wait, and at most a line that points into our code.
    if (code === 13) return error ?? 'it exports nothing that can serve, and has not called listen()'
    return error ?? lines.at(-1)?.slice(0, 300) ?? 'it said nothing'
  }
}

function failure(message: string): TenantryError {
  return new TenantryError('ERR_BENCH', message)
}
