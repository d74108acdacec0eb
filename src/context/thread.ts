import { fileURLToPath } from 'node:url'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { Tinypool } from 'tinypool'
import { TenantryError } from '../errors.ts'
import { publish } from '../events.ts'
import { StateMachine } from '../state.ts'
import { PortCarrier } from '../wire/carrier.ts'
import { FrontChannel } from '../wire/front-channel.ts'
import { Cell, Scoreboard } from '../wire/scoreboard.ts'
import { cpuTime } from './cpu-time.ts'
import { execArgvOf } from './permission.ts'
import { readLines } from './output.ts'
import type { MessagePort, Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { EndReason } from '../events.ts'
import type { Transitions } from '../state.ts'
import type { ErrorRecord } from '../wire/frames.ts'
import type { ContextListener } from '../wire/front-channel.ts'
import type { Context, ContextEnd, ContextSpec, ContextState } from './context.ts'

const TRANSITIONS: Transitions<ContextState> = {
  starting: ['spare', 'serving', 'exited', 'zombie'],
  spare: ['serving', 'exited', 'zombie'],
  serving: ['draining', 'exited', 'zombie'],
  draining: ['exited', 'zombie'],
  zombie: ['exited'],
  exited: [],
}

/**
 * V8's own limit stands far away: a near one can abort the whole process
 * (facts in docs/security.md). The real cap is `memoryLimit`, sampled.
 */
const FAR_HEAP_LIMIT_MB = 4096

const BOOT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../tenant/boot.ts' : '../tenant/boot.js', import.meta.url))

let nextId = 1

/**
 * A context in a worker thread. Tinypool keeps the thread: one pool with one
 * thread and one task that never ends. What Tinypool leaves open is closed
 * here, each with a test in test/context/thread.test.ts: it hears `error` but
 * never `exit`, would respawn after a crash, and waits for ever in destroy().
 */
export class ThreadContext implements Context, ContextListener {
  readonly id: number = nextId++
  readonly spec: ContextSpec
  readonly scoreboard = new Scoreboard()
  readonly ready: Promise<void>
  readonly ended: Promise<ContextEnd>
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #state = new StateMachine('context', TRANSITIONS, 'starting')
  readonly #channel: FrontChannel
  readonly #port: MessagePort
  readonly #carrier: PortCarrier
  readonly #pool: Tinypool
  readonly #thread: Worker
  readonly #stopStartup: () => void
  #stopDeadline: (() => void) | undefined
  #resolveReady: () => void = () => {}
  #rejectReady: (error: TenantryError) => void = () => {}
  #resolveEnded: (end: ContextEnd) => void = () => {}
  /** Why we end it; undefined while nobody but the tenant itself would. */
  #ending: { readonly reason: EndReason; readonly error: TenantryError } | undefined
  #crash: Error | undefined

  /** `nice`: how far the thread stands back for the front, 0 to 19; Linux only. */
  constructor(spec: ContextSpec, clock: Clock, nice = 0) {
    this.spec = spec
    this.#clock = clock
    this.#startedAt = clock.now()
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    // Whoever waits hears of it; nobody has to wait.
    this.ready.catch(() => {})
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#pool = openPool(spec)
    const worker = this.#pool.threads[0] as unknown as { thread: Worker; ref(): void }
    this.#thread = worker.thread
    // Tinypool holds the process for a worker whose port is closed; an idle context must not.
    worker.ref = () => {}
    this.#pool.options.minThreads = 0
    this.#pool.on('error', () => {})
    this.#thread.on('error', (error: unknown) => this.#onError(error))
    this.#thread.on('exit', (code) => this.#onExit(code))
    readLines(this.#thread, (stream, line) => {
      publish('tenantry:context:output', { ...this.#names(), stream, line })
    })
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#carrier = new PortCarrier(port1, (batch) => this.#channel.receive(batch), () => {})
    this.#channel = new FrontChannel(this.#carrier, this)
    const task = { port: port2, scoreboard: this.scoreboard.buffer, nice }
    // The task never ends; it rejects when the thread does, which 'exit' reports.
    this.#pool.run(task, { filename: BOOT, transferList: [port2] }).catch((error: unknown) => this.#onError(error))
    this.#stopStartup = clock.after(spec.limits.startupTimeout, () => {
      const message = `The application group '${spec.label}' did not become ready within startupTimeout (${spec.limits.startupTimeout} ms)`
      this.terminate('startup', new TenantryError('ERR_START_TIMEOUT', message, { label: spec.label })).catch(() => {})
    })
    publish('tenantry:context:start', this.#names())
  }

  get state(): ContextState {
    return this.#state.current
  }

  get inFlight(): number {
    return this.#channel.size
  }

  cpuTime(): number {
    return cpuTime(this.scoreboard.read('threadId'), this.#thread)
  }

  get channel(): FrontChannel {
    if (!this.#state.is('serving', 'draining')) {
      throw new TenantryError('ERR_STATE', `The context ${this.id} is ${this.state} and takes no request`)
    }
    return this.#channel
  }

  drain(): void {
    if (!this.#state.is('serving')) return
    this.#state.to('draining')
    this.#channel.drain()
  }

  async terminate(reason: EndReason, error?: TenantryError): Promise<ContextEnd> {
    if (this.#ending === undefined && !this.#state.is('exited', 'zombie')) {
      const { label } = this.spec
      this.#ending = {
        reason,
        error: error ?? new TenantryError('ERR_CONTEXT_EXITED', `The context of '${label}' was ended: ${reason}`, { label }),
      }
      this.#rejectReady(this.#ending.error)
      this.#channel.close(this.#ending.error)
      this.#stopDeadline = this.#clock.after(this.spec.limits.terminateTimeout, () => this.#outlive())
      // Settles only if the thread ends by it, so it is never waited for.
      this.#pool.destroy().catch(() => {})
    }
    return await this.ended
  }

  // What the context says.

  onHello(): void {
    const { mounts, kind, preload, directory, label } = this.spec
    this.#channel.load({ mounts, kind, preload, directory, label })
  }

  onReady(): void {
    if (!this.#state.is('starting', 'spare') || this.#ending !== undefined) return
    this.#stopStartup()
    // While it started, somebody may have waited for it: an idle context does not hold the process.
    this.#carrier.unref()
    this.#state.to('serving')
    this.scoreboard.write(Cell.lastActivity, Date.now())
    publish('tenantry:context:ready', {
      ...this.#names(),
      milliseconds: Math.round(this.#clock.now() - this.#startedAt),
    })
    this.#resolveReady()
  }

  onFailed(record: ErrorRecord): void {
    if (!this.#state.is('starting')) return
    const { label } = this.spec
    const message = `The application of '${label}' could not be loaded: ${record.message}`
    this.terminate('crash', new TenantryError('ERR_START_FAILED', message, { label, cause: restore(record) })).catch(() => {})
  }

  onViolation(what: string): void {
    const { label } = this.spec
    const message = `The context of '${label}' broke the protocol: ${what}`
    this.terminate('protocol', new TenantryError('ERR_PROTOCOL', message, { label })).catch(() => {})
  }

  #onError(error: unknown): void {
    this.#crash ??= error instanceof Error ? error : new Error(`threw ${String(error)}`)
  }

  #onExit(exitCode: number): void {
    this.#stopStartup()
    this.#stopDeadline?.()
    this.#readRest()
    const wasStarting = this.#state.is('starting', 'spare')
    const wasZombie = this.#state.is('zombie')
    const { reason, error } = this.#ending ?? this.#blame(exitCode, wasStarting)
    this.#state.to('exited')
    this.#rejectReady(error)
    this.#channel.close(error)
    this.#carrier.close()
    // Frees what the pool still holds of a thread that ended without it; its promise may stay open.
    this.#pool.destroy().catch(() => {})
    this.#resolveEnded({ reason, exitCode, error, zombie: wasZombie })
    publish('tenantry:context:exit', { ...this.#names(), reason, exitCode, error: this.#ending?.error ?? this.#crash })
  }

  /** The thread's last messages may still lie in the port: answers that it wrote before it ended. */
  #readRest(): void {
    for (let rest = receiveMessageOnPort(this.#port); rest !== undefined; rest = receiveMessageOnPort(this.#port)) {
      this.#channel.receive(rest.message)
    }
  }

  /** Past its deadline: counted and left alone, for nothing but the end of the process ends it. */
  #outlive(): void {
    if (this.#state.is('exited')) return
    this.#state.to('zombie')
    this.#carrier.close()
    const { reason, error } = this.#ending as { reason: EndReason; error: TenantryError }
    this.#resolveEnded({ reason, exitCode: null, error, zombie: true })
    publish('tenantry:warning', {
      label: this.spec.label,
      message: `The thread of context ${this.id} did not end within terminateTimeout and is left behind as a zombie`,
    })
  }

  /** The tenant ended by itself: by what? */
  #blame(exitCode: number, wasStarting: boolean): { reason: EndReason; error: TenantryError } {
    const { label } = this.spec
    const cause = this.#crash
    const code = (cause as { code?: unknown } | undefined)?.code
    if (code === 'ERR_WORKER_INIT_FAILED') {
      const message = `No thread could be started for '${label}': the process is at its limit of descriptors or memory`
      return { reason: 'crash', error: new TenantryError('ERR_GROUP_LIMIT', message, { label, retryAfter: 5, cause }) }
    }
    if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
      const message = `The context of '${label}' ran out of memory`
      return { reason: 'memory', error: new TenantryError('ERR_CONTEXT_MEMORY', message, { label, cause }) }
    }
    const how = cause === undefined ? `exited with code ${exitCode}` : `crashed: ${cause.message}`
    const reason = cause === undefined ? 'exit' : 'crash'
    if (!wasStarting) {
      return { reason, error: new TenantryError('ERR_CONTEXT_EXITED', `The context of '${label}' ${how}`, { label, cause }) }
    }
    const hint = cause === undefined ? '; it exports nothing that can be served and no server listens' : ''
    const message = `The application of '${label}' ${how} while it was loading${hint}`
    return { reason, error: new TenantryError('ERR_START_FAILED', message, { label, cause }) }
  }

  #names(): { label: string; processGroup: string; contextId: number } {
    return { label: this.spec.label, processGroup: this.spec.processGroup, contextId: this.id }
  }
}

function openPool(spec: ContextSpec): Tinypool {
  try {
    return new Tinypool({
      filename: BOOT,
      minThreads: 1,
      maxThreads: 1,
      // Atomics would freeze the thread's timers between tasks, and there is only one task.
      useAtomics: false,
      env: {
        ...spec.env,
        TENANTRY_APPLICATION_GROUP: spec.label,
        TENANTRY_PROCESS_GROUP: spec.processGroup,
      },
      ...execArgvOf(spec),
      resourceLimits: { maxOldGenerationSizeMb: FAR_HEAP_LIMIT_MB },
    })
  } catch (cause) {
    const message = `No thread could be started for '${spec.label}': ${cause instanceof Error ? cause.message : String(cause)}`
    throw new TenantryError('ERR_START_FAILED', message, { label: spec.label, cause })
  }
}

/** The tenant's error as an Error again, for the log. */
function restore(record: ErrorRecord): Error {
  const error = new Error(record.message)
  error.name = record.name
  if (record.stack !== undefined) error.stack = record.stack
  return Object.assign(error, record.code === undefined ? {} : { code: record.code })
}
