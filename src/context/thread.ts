import { fileURLToPath } from 'node:url'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { Tinypool } from 'tinypool'
import { TenantryError } from '../errors.ts'
import { PortCarrier } from '../wire/carrier.ts'
import { Scoreboard } from '../wire/scoreboard.ts'
import { cpuTime } from './cpu-time.ts'
import { LiveContext } from './live-context.ts'
import { readLines } from './output.ts'
import { execArgvOf } from './permission.ts'
import type { MessagePort, Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { ContextSpec } from './context.ts'
import type { Vessel, VesselListener } from './vessel.ts'

/**
 * V8's own limit stands far away: a near one can abort the whole process
 * (facts in docs/security.md). The real cap is `memoryLimit`, sampled.
 */
const FAR_HEAP_LIMIT_MB = 4096

const BOOT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../tenant/boot.ts' : '../tenant/boot.js', import.meta.url))

/** A context in a thread of this process. `nice`: how far it stands back for the front, 0 to 19; Linux only. */
export function startThread(spec: ContextSpec, clock: Clock, nice = 0): LiveContext {
  return new LiveContext(spec, clock, (listener) => new Thread(spec, nice, listener))
}

/**
 * A worker thread with a context's code in it. Tinypool keeps the thread: one
 * pool with one thread and one task that never ends. What Tinypool leaves open
 * is closed here, each with a test in test/context/thread.test.ts: it hears
 * `error` but never `exit`, would respawn after a crash, and waits for ever in
 * destroy().
 */
class Thread implements Vessel {
  readonly carrier: PortCarrier
  readonly scoreboard = new Scoreboard()
  readonly #listener: VesselListener
  readonly #port: MessagePort
  readonly #pool: Tinypool
  readonly #thread: Worker
  #crash: Error | undefined

  constructor(spec: ContextSpec, nice: number, listener: VesselListener) {
    this.#listener = listener
    this.#pool = openPool(spec)
    const worker = this.#pool.threads[0] as unknown as { thread: Worker; ref(): void }
    this.#thread = worker.thread
    // Tinypool holds the process for a worker whose port is closed; an idle context must not.
    worker.ref = () => {}
    this.#pool.options.minThreads = 0
    this.#pool.on('error', () => {})
    this.#thread.on('error', (error: unknown) => this.#onError(error))
    this.#thread.on('exit', (code) => this.#onExit(code))
    readLines(this.#thread, (stream, line) => listener.onLine(stream, line))
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.carrier = new PortCarrier(port1, (batch) => listener.onBatch(batch), () => {})
    const task = { port: port2, scoreboard: this.scoreboard.buffer, nice }
    // The task never ends; it rejects when the thread does, which 'exit' reports.
    this.#pool.run(task, { filename: BOOT, transferList: [port2] }).catch((error: unknown) => this.#onError(error))
  }

  cpuTime(): number {
    return cpuTime(this.scoreboard.read('threadId'), this.#thread)
  }

  unref(): void {
    this.carrier.unref()
  }

  end(): void {
    // Settles only if the thread ends by it, so it is never waited for. After an exit it frees what the pool still holds.
    this.#pool.destroy().catch(() => {})
  }

  #onError(error: unknown): void {
    this.#crash ??= error instanceof Error ? error : new Error(`threw ${String(error)}`)
  }

  #onExit(exitCode: number): void {
    this.#readRest()
    this.#listener.onExit(exitCode, this.#crash)
    this.end()
  }

  /** The thread's last messages may still lie in the port: answers that it wrote before it ended. */
  #readRest(): void {
    for (let rest = receiveMessageOnPort(this.#port); rest !== undefined; rest = receiveMessageOnPort(this.#port)) {
      this.#listener.onBatch(rest.message)
    }
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
