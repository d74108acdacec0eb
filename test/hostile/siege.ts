import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import assert from 'node:assert/strict'
import { ask } from '../behaviour/client.ts'
import { NEIGHBOURS } from './load.ts'
import { Neighbours } from './neighbours.ts'
import type { ChildProcess } from 'node:child_process'
import type { TestContext } from 'node:test'
import type { LogLine } from '../behaviour/house.ts'
import type { Fared } from './neighbours.ts'

const MB = 1024 ** 2

/** A collection leaves a little more or less each time, however small the heap. Bytes. */
const NOISE = MB / 2

/**
 * What the neighbours may wait at the 99th percentile, and how late a quiet machine wakes a thread. Milliseconds. They
 * share the front with the attack, whose thousands of requests it answers meanwhile: 110 ms were seen in a daemon.
 */
const PROMPT = 250
const QUIET = 10

/** How often an attack is repeated at most. */
const ROUNDS = 3

/** How long the server may take until it is as before. Milliseconds. */
const PATIENCE = 6000

/** Descriptors are counted in /proc. */
export const skip = process.platform === 'linux' ? false : 'descriptors are counted in /proc'

/** A program to attack. */
export interface Server {
  /** Its module and arguments, to which the folder of tenants is added, or a configuration that names it. */
  readonly args: readonly string[]
  readonly inDaemon?: true
}

const SERVE = ['dist/cli/main.js', 'serve', '--port', '0']

/** One process, so that its descriptors and memory are all there is to count. */
export const THREADS: Server = { args: [...SERVE, '--processes', '0'] }

/** The same, whose contexts serve the clients' connections themselves. */
export const HANDED: Server = { args: [...SERVE, '--processes', '0', '--lane', 'handoff'] }

/** The front, and a daemon in which the tenants are: what the command does by default, with a daemon that can collect. */
export const DAEMON: Server = { args: SERVE, inDaemon: true }
const CONFIGURATION = {
  tenants: 'tenants', processGroup: 'tenants', processGroups: { tenants: { startAhead: true, execArgv: ['--expose-gc'] } },
}

/** What is attacked: answers fast, late, never, with what it was sent, in pieces, and without end. */
const VICTIM = `
import http from 'node:http'
const piece = Buffer.alloc(40_000)
let open = 0
const server = http.createServer((req, res) => {
  const pathname = req.url.replace(/^http:\\/\\/[^/]*/, '')
  if (pathname === '/memory') {
    globalThis.gc?.()
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    return res.end(JSON.stringify({ held: heapUsed + external, open }))
  }
  open++
  res.once('close', () => open--)
  if (pathname === '/hang') return
  if (pathname === '/echo') return req.pipe(res)
  if (pathname === '/hidden') return res.end('hidden')
  if (pathname === '/read') return req.on('data', () => {}).on('end', () => res.end('read'))
  if (pathname === '/pieces') { res.write('one'); return setTimeout(() => { res.write('two'); res.end('three') }, 1) }
  if (pathname === '/endless') {
    const more = () => { do if (res.destroyed) return; while (res.write(piece)) }
    res.on('drain', more)
    return more()
  }
  res.end('fine')
})
server.on('upgrade', (req, socket) => {
  open++
  socket.once('close', () => open--)
  socket.on('error', () => {})
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: raw\\r\\n\\r\\n')
  socket.pipe(socket)
})
server.listen(3000)
`

/** It never answers on purpose: what then waits is let go. The neighbours keep the default. */
const VICTIM_SETTINGS = JSON.stringify({ limits: { handlerTimeout: '2s' } })

interface Held {
  /** JavaScript's memory in the front and in the victim's context, after a collection. Bytes. */
  readonly front: number
  readonly victim: number
  /** Requests that the front has given to a context, and that the victim knows, without an end so far. */
  readonly open: number
  /** Resident memory of all processes. Bytes. */
  readonly resident: number
  readonly descriptors: number
  readonly warnings: number
}

export interface Watched {
  /** It asks for as much as the server can answer: the neighbours are served among all the others, and wait with them. */
  readonly saturates?: true
  /** Part of the attack that comes first: what is made once is made then. */
  readonly warmUp: (siege: Siege) => Promise<void>
  readonly attack: (siege: Siege) => Promise<void>
}

/** A real server in a process of its own, with a victim and two healthy neighbours. */
export class Siege {
  readonly port: number
  readonly pid: number
  readonly log: readonly LogLine[]
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #neighbours: Neighbours
  /** What was written to stderr last: why it crashed. */
  readonly #complaint: () => string

  /** What is open while nobody is there, and after the first warm-up: some things are opened once, for good. */
  #descriptors: number | undefined

  private constructor(child: ChildProcess, port: number, log: readonly LogLine[], folder: string, complaint: () => string) {
    this.#complaint = complaint
    this.#child = child
    this.pid = child.pid as number
    this.port = port
    this.log = log
    this.#folder = folder
    this.#neighbours = new Neighbours(port)
  }

  static async open({ args, inDaemon }: Server): Promise<Siege> {
    const folder = await mkdtemp(path.join(tmpdir(), 'tenantry-siege-'))
    const tenants = path.join(folder, 'tenants')
    const configuration = path.join(folder, 'tenantry.json')
    await writeFile(configuration, JSON.stringify(CONFIGURATION))
    // Some tools can only ask for the address that they connect to.
    await Promise.all(Object.entries({ ...NEIGHBOURS, 'victim.test': VICTIM, '127.0.0.1': VICTIM }).map(async ([host, text]) => {
      await mkdir(path.join(tenants, host), { recursive: true })
      await writeFile(path.join(tenants, host, 'index.mjs'), text)
      if (text === VICTIM) await writeFile(path.join(tenants, host, 'tenant.json'), VICTIM_SETTINGS)
    }))
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TENANTRY_|NODE_TEST)/.test(name)))
    const probe = new URL('probe.js', import.meta.url).href
    const child = spawn(process.execPath, ['--expose-gc', '--import', probe, ...args, inDaemon ? configuration : tenants], {
      env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    let complaint = ''
    child.stderr?.setEncoding('latin1').on('data', (text: string) => { complaint = (complaint + text).slice(-10_000) })
    const log: LogLine[] = []
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', () => reject(new Error('the server ended before it listened')))
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (text) => {
        const line = JSON.parse(text) as LogLine
        log.push(line)
        if (line.msg === 'listening') resolve(Number(new URL(line['url'] as string).port))
      })
    })
    const siege = new Siege(child, port, log, folder, () => complaint)
    try {
      for (const host of ['victim.test', '127.0.0.1', ...Object.keys(NEIGHBOURS)]) await siege.ask(host)
      return siege
    } catch (error) {
      await siege.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#neighbours.close()
    this.#child.kill('SIGKILL')
    if (this.alive) await once(this.#child, 'exit')
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.destroy()
    await rm(this.#folder, { recursive: true, force: true })
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Ends the server in peace, and says how many connections took which lane. */
  async end(): Promise<{ readonly handoff: number; readonly relay: Readonly<Record<string, number>> }> {
    await this.#neighbours.close()
    this.#child.kill('SIGTERM')
    await once(this.#child, 'close')
    // A context that took a request for open that is not would have been cut when drainTimeout was over.
    const ends = this.log.filter(({ msg }) => msg.startsWith('context ended')).map(({ exitCode }) => exitCode)
    assert.deepEqual(new Set(ends), new Set([0]), 'every context ended by itself')
    const { lanes } = this.log.find(({ msg }) => msg === 'closed') as unknown as { lanes: { handoff: number; relay: Record<string, number> } }
    return lanes
  }

  /** The front, and its daemon where there is one. */
  get #pids(): readonly number[] {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'latin1').split(' ')
    return [this.pid, ...children.filter(Boolean).map(Number)]
  }

  get descriptors(): number {
    return this.#pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0)
  }

  async ask(host: string, url = '/'): Promise<string> {
    const { status, text } = await ask(this.port, host, url)
    assert.equal(status, 200, `${host}${url} answered ${text}`)
    return text
  }

  /**
   * Runs an attack and holds the house to its promise: the neighbours were served meanwhile, and afterwards
   * everything is as before. A crowded machine may delay anybody once, and the allocator keeps a little more after a
   * wave that was a little higher: what is true in the second or third round counts. A leak grows in each.
   */
  async withstands(t: TestContext, { warmUp, attack, saturates }: Watched): Promise<void> {
    await warmUp(this)
    this.#descriptors ??= await this.#rest()
    let before = await this.#settled()
    const faults: string[] = []
    for (let round = 1; round <= ROUNDS; round++) {
      const logged = this.log.length
      const { requests, failures, p99, late } = await this.#watch(attack)
      assert.ok(this.alive, `the server ended: ${this.#complaint()}`)
      const after = await this.#settled(before)
      t.diagnostic(`neighbours: ${requests} requests, p99 ${p99.toFixed(0)} ms, the machine's ${late.toFixed(0)} ms; ${show(before)} → ${show(after)}`)
      assert.deepEqual(failures.slice(0, 3), [], `neighbours failed ${failures.length} times`)
      assert.ok(requests > 0, 'the neighbours were there')
      assert.equal(after.open, 0, 'no request is left open')
      assert.equal(after.descriptors, this.#descriptors, 'descriptors are back exactly')
      assert.equal(after.warnings, before.warnings, 'Node has not warned')
      const lines = this.log.slice(logged).filter(({ level, msg }) => level >= 50 || msg === 'context ended')
      assert.deepEqual(lines, [], 'the log has no error, and no context ended')
      // Where the machine itself is late, the neighbours' time says nothing about the server.
      const isPrompt = p99 <= PROMPT || late > QUIET || saturates === true
      if (isPrompt && isBack(before, after)) return
      faults.push(`${isPrompt ? '' : `p99 ${p99.toFixed(0)} ms; `}${show(before)} → ${show(after)}`)
      before = after
    }
    assert.fail(`neighbours waited, or memory grew, ${ROUNDS} times:\n${faults.join('\n')}`)
  }

  async #watch(attack: (siege: Siege) => Promise<void>): Promise<Fared> {
    await this.#neighbours.start()
    try {
      await attack(this)
    } catch (error) {
      await this.#neighbours.stop()
      throw error
    }
    // Attacks that take no time are watched for a moment, too.
    await sleep(200)
    return await this.#neighbours.stop()
  }

  /** The number of descriptors, once it has been the same for a second. */
  async #rest(): Promise<number> {
    let [last, since] = [this.descriptors, performance.now()]
    while (performance.now() - since < 1000) {
      await sleep(50)
      if (this.descriptors !== last) [last, since] = [this.descriptors, performance.now()]
    }
    return last
  }

  /** What is held once clients are gone: no request and no descriptor is, and memory is what it was. */
  async #settled(before?: Held): Promise<Held> {
    const deadline = performance.now() + PATIENCE
    let held = await this.#held()
    for (;;) {
      await sleep(50)
      held = await this.#held()
      const isCalm = held.open === 0 && held.descriptors === this.#descriptors
      if (isCalm && (before === undefined || isBack(before, held))) return held
      if (performance.now() > deadline) return held
    }
  }

  async #held(): Promise<Held> {
    const victim = JSON.parse(await this.ask('victim.test', '/memory')) as { held: number; open: number }
    const said = once(this.#child, 'message', { signal: AbortSignal.timeout(10_000) })
    this.#child.send('held')
    const [front] = (await said) as [{ held: number; warnings: number; open: number }]
    const resident = this.#pids.reduce((sum, pid) => sum + residentMemory(pid), 0)
    const { warnings } = front
    const open = front.open + victim.open
    return { front: front.held, victim: victim.held, open, resident, descriptors: this.descriptors, warnings }
  }
}

function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024
}

function isBack(before: Held, after: Held): boolean {
  const within = (was: number, is: number): boolean => is <= was * 1.1 + NOISE
  return within(before.front, after.front) && within(before.victim, after.victim) && within(before.resident, after.resident)
}

function show({ front, victim, resident, descriptors }: Held): string {
  const [f, v, r] = [front, victim, resident].map((bytes) => (bytes / MB).toFixed(1))
  return `${f} + ${v} MB held, ${r} resident, ${descriptors} descriptors`
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
