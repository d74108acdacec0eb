import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { TestContext } from 'node:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pino from 'pino'
import type { ServedRuntime, World } from '../../src/cli/world.ts'
import type { SourceDescription } from '../../src/describe.ts'
import { resolveOptions, type ResolvedOptions, type RuntimeOptions } from '../../src/options.ts'
import { FakeClock } from '../ops/fake-clock.ts'

/** A runtime without contexts, on a real server: it says what the command asked of it. */
export class FakeRuntime implements ServedRuntime {
  readonly options: ResolvedOptions
  readonly calls: string[] = []
  readonly events = new EventEmitter()
  found: readonly string[] | undefined = ['a.example.test', '*.b.example.test']
  wrong: { pattern: string; message: string }[] = []
  zombies = 0
  refreshed: RuntimeOptions | undefined
  /** While set, close() waits for it: requests are still in flight. */
  holdClose: Promise<void> | undefined
  #server: Server | undefined

  constructor(options: RuntimeOptions) {
    this.options = resolveOptions(options)
  }

  async listen({ host, port }: { host: string; port: number }): Promise<Server> {
    const server = createServer((_request, response) => void response.end('fake'))
    server.listen(port, host)
    await once(server, 'listening')
    this.#server = server
    void this.#call('listen')
    return server
  }

  patterns(): readonly string[] | undefined {
    return this.found
  }

  problems(): { pattern: string; message: string }[] {
    return this.wrong
  }

  async refresh(options: RuntimeOptions): Promise<{ added: string[]; changed: string[]; removed: string[] }> {
    this.refreshed = options
    await this.#call('refresh')
    return { added: ['c.example.test'], changed: [], removed: [] }
  }

  async close(): Promise<{ zombies: number }> {
    await this.#call('close')
    await this.holdClose
    this.#server?.close()
    return { zombies: this.zombies }
  }

  async destroy(): Promise<void> {
    await this.#call('destroy')
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  stats(): ReturnType<ServedRuntime['stats']> {
    return { zombies: this.zombies, lanes: { handoff: 3, relay: { head: 1 }, obstacle: null } }
  }

  async #call(name: string): Promise<void> {
    this.calls.push(name)
    this.events.emit(name)
  }
}

export interface FakeWorld extends World {
  readonly out: string[]
  readonly err: string[]
  readonly log: Record<string, unknown>[]
  readonly signals: EventEmitter
  readonly clock: FakeClock
  /** Every runtime that the command made. */
  readonly runtimes: FakeRuntime[]
  /** Resolves when the runtime was asked for this. */
  asked(call: string): Promise<void>
  /** Resolves with the first log line of this message. */
  logged(message: string): Promise<Record<string, unknown>>
}

export interface FakeWorldOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly description?: Omit<SourceDescription, 'options'>
  readonly prepare?: (runtime: FakeRuntime) => void
}

/** The log is captured by handing the runtime and the command one logger of ours, through the configuration. */
export function fakeWorld(cwd: string, { env = {}, description, prepare }: FakeWorldOptions = {}): FakeWorld {
  const out: string[] = []
  const err: string[] = []
  const log: Record<string, unknown>[] = []
  const runtimes: FakeRuntime[] = []
  const happened = new EventEmitter()
  const logger = pino(
    { base: null, timestamp: false, level: 'debug' },
    {
      write(text: string) {
        const line = JSON.parse(text) as Record<string, unknown>
        log.push(line)
        happened.emit('log', line)
      },
    },
  )
  return {
    version: '1.2.3',
    program: join(process.cwd(), 'dist', 'cli', 'main.js'),
    cwd,
    env,
    out,
    err,
    log,
    runtimes,
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    signals: new EventEmitter(),
    clock: new FakeClock(),
    openLogger: () => logger,
    createRuntime(options) {
      const runtime = new FakeRuntime(options)
      prepare?.(runtime)
      runtimes.push(runtime)
      return runtime
    },
    async describe(options) {
      return { tenants: [], problems: [], ...description, options: resolveOptions(options) }
    },
    explain: async () => await Promise.reject(new Error('nothing to explain')),
    async asked(call) {
      const runtime = runtimes[0] as FakeRuntime
      if (!runtime.calls.includes(call)) await once(runtime.events, call)
    },
    async logged(message) {
      for (;;) {
        const line = log.find(({ msg }) => msg === message)
        if (line !== undefined) return line
        await once(happened, 'log')
      }
    },
  }
}

/** A folder with these files, gone after the test. */
export function makeFolder(t: TestContext, files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-cli-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}
