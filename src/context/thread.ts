import { fileURLToPath } from 'node:url'
import { MessageChannel, MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { Tinypool } from 'tinypool'
import { TenantryError } from '../errors.ts'
import { PortCarrier } from '../wire/carrier.ts'
import { Scoreboard } from '../wire/scoreboard.ts'
import { cpuTime } from './cpu-time.ts'
import { openedDescriptors } from './descriptors.ts'
import { environmentOf } from './environment.ts'
import { Handover } from './handover.ts'
import { LiveContext } from './live-context.ts'
import { readLines } from './output.ts'
import { execArgvOf } from './permission.ts'
import { Spare } from './spare.ts'
import type { Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { BootRequest, FrontAddress } from '../wire/boot-request.ts'
import type { ContextSpec, OfferedConnection } from './context.ts'
import type { SpareSettings } from './spare.ts'
import type { Vessel, VesselListener } from './vessel.ts'

/**
 * V8's own limit stands far away: a near one can abort the whole process
 * (facts in docs/security.md). The real cap is `memoryLimit`, sampled.
 */
const FAR_HEAP_LIMIT_MB = 4096

// One file, made by bundle.mjs; where Node runs our sources as they are, they are loaded one by one.
const BOOT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../tenant/boot.ts' : '../tenant/boot.mjs', import.meta.url))

/** A context in a thread of this process. `nice`: how far it stands back for the front, 0 to 19; Linux only. */
export function startThread(spec: ContextSpec, clock: Clock, nice = 0): LiveContext {
  return new LiveContext(spec, clock, (listener) => new LocalThread(spec, nice, listener))
}

/** A thread of this process that waits for a tenant. */
export function startSpare(settings: SpareSettings, nice = 0): Spare {
  return new Spare(settings, (listener) => new LocalThread(undefined, nice, listener))
}

/** A thread beside the front, with a message port for its relay. */
class LocalThread implements Vessel {
  readonly carrier: PortCarrier
  readonly scoreboard: Scoreboard
  readonly #thread: Thread

  constructor(spec: ContextSpec | undefined, nice: number, listener: VesselListener) {
    const { port1, port2 } = new MessageChannel()
    this.#thread = new Thread(spec, nice, port2, {
      onLine: (stream, line) => listener.onLine(stream, line),
      onExit(exitCode, crash) {
        // The thread's last messages may still lie in the port: answers that it wrote before it ended.
        for (let rest = receiveMessageOnPort(port1); rest !== undefined; rest = receiveMessageOnPort(port1)) {
          listener.onBatch(rest.message)
        }
        listener.onExit(exitCode, crash)
      },
    })
    this.scoreboard = this.#thread.scoreboard
    this.carrier = new PortCarrier(port1, (batch) => listener.onBatch(batch), () => {})
  }

  cpuTime(): number {
    return this.#thread.cpuTime()
  }

  handOver(connection: OfferedConnection): boolean {
    return this.#thread.handover.give(connection)
  }

  ref(): void {
    this.carrier.ref()
  }

  unref(): void {
    this.carrier.unref()
  }

  end(): void {
    this.#thread.end()
  }
}

/** What is heard of a thread, whoever its relay belongs to. */
export type ThreadListener = Pick<VesselListener, 'onLine' | 'onExit'>

/**
 * A worker thread with a context's code in it. Tinypool keeps the thread: one
 * pool with one thread and one task that never ends. What Tinypool leaves open
 * is closed here, each with a test in test/context/thread.test.ts: it hears
 * `error` but never `exit`, would respawn after a crash, and waits for ever in
 * destroy().
 */
export class Thread {
  readonly scoreboard = new Scoreboard()
  readonly handover: Handover
  readonly #listener: ThreadListener
  readonly #pool: Tinypool
  readonly #thread: Worker
  #crash: Error | undefined

  /** `spec`: undefined for one that waits for a tenant. `link`: its end of the relay, or where the front listens for it. */
  constructor(spec: ContextSpec | undefined, nice: number, link: MessagePort | FrontAddress, listener: ThreadListener) {
    this.#listener = listener
    this.#pool = openPool(spec)
    const worker = this.#pool.threads[0] as unknown as PooledWorker
    this.#thread = worker.thread
    // Tinypool holds the process for a worker whose port is closed; an idle context must not.
    worker.ref = () => {}
    // Tinypool waits for 'exit' with events.once(), which takes its listeners back when 'error' comes first: without this
    // a thread that fails while it is being ended would throw here, and end the process.
    worker.removeListener = (event, listener) => this.#thread.removeListener(event, listener)
    this.#pool.options.minThreads = 0
    this.#pool.on('error', () => {})
    this.#thread.on('error', (error: unknown) => this.#onError(error))
    this.#thread.on('exit', (code) => this.#onExit(code))
    readLines(this.#thread, (stream, line) => listener.onLine(stream, line))
    const { port1, port2 } = new MessageChannel()
    this.handover = new Handover(port1)
    const task: BootRequest = {
      link, scoreboard: this.scoreboard.buffer, handover: port2, spare: spec === undefined, handsOver: openedDescriptors() !== undefined, nice,
    }
    const transferList = link instanceof MessagePort ? [link, port2] : [port2]
    // The task never ends; it rejects when the thread does, which 'exit' reports.
    this.#pool.run(task, { filename: BOOT, transferList }).catch((error: unknown) => this.#onError(error))
  }

  cpuTime(): number {
    return cpuTime(this.scoreboard.read('threadId'), this.#thread)
  }

  end(): void {
    // Settles only if the thread ends by it, so it is never waited for. After an exit it frees what the pool still holds.
    this.#pool.destroy().catch(() => {})
  }

  #onError(error: unknown): void {
    this.#crash ??= error instanceof Error ? error : new Error(`threw ${String(error)}`)
  }

  #onExit(exitCode: number): void {
    this.handover.close()
    this.#listener.onExit(exitCode, this.#crash)
    this.end()
  }
}

/** What is mended of Tinypool's worker. */
interface PooledWorker {
  readonly thread: Worker
  ref(): void
  removeListener(event: string, listener: () => void): unknown
}

function openPool(spec: ContextSpec | undefined): Tinypool {
  try {
    return new Tinypool({
      filename: BOOT,
      minThreads: 1,
      maxThreads: 1,
      // Atomics would freeze the thread's timers between tasks, and there is only one task.
      useAtomics: false,
      env: spec === undefined ? {} : environmentOf(spec),
      ...execArgvOf(spec),
      resourceLimits: { maxOldGenerationSizeMb: FAR_HEAP_LIMIT_MB },
    })
  } catch (cause) {
    const label = spec?.label
    const whose = label === undefined ? 'to be spare' : `for '${label}'`
    const message = `No thread could be started ${whose}: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new TenantryError('ERR_START_FAILED', message, { label, cause })
  }
}
