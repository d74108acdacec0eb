/**
 * The main module of the load generator, a process of its own: keep-alive connections that each send a request, wait for
 * its answer and send the next. On node:net with a reader of its own, since an HTTP client would cost several times the
 * server that it measures, and a package for it would be one that every user installs.
 */
import net from 'node:net'
import { createHistogram } from 'node:perf_hooks'
import { AnswerReader } from './answer-reader.ts'
import type { LoadJob, LoadReport, LoadWord } from './load.ts'

/** Latencies are recorded in microseconds, to three digits, up to two minutes. */
const LONGEST = 120_000_000

/** Points of the latency curve, in percent. */
const PERCENTILES = [10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99]

/** All connections read into one place: nothing of an answer is kept. */
const buffer = Buffer.allocUnsafe(64 * 1024)

class Load {
  readonly job: LoadJob
  readonly #connections: LoadConnection[]
  #latencies = createHistogram({ lowest: 1, highest: LONGEST, figures: 3 })
  #requests = 0
  #failed = 0
  #failure: string | undefined
  #over = false

  constructor(job: LoadJob) {
    this.job = job
    this.#connections = Array.from({ length: job.connections }, (_, index) => new LoadConnection(this, index))
  }

  get over(): boolean {
    return this.#over
  }

  async run(): Promise<LoadReport> {
    for (const connection of this.#connections) connection.open()
    await after(this.job.warmup)
    // Nobody is told of the failures of a warm-up that everything after it survives.
    this.#latencies = createHistogram({ lowest: 1, highest: LONGEST, figures: 3 })
    this.#requests = 0
    this.#failed = 0
    tell({ kind: 'measuring' })
    const [started, cpu] = [performance.now(), process.cpuUsage()]
    await after(this.job.duration)
    const [seconds, { user, system }] = [(performance.now() - started) / 1000, process.cpuUsage(cpu)]
    this.#over = true
    for (const connection of this.#connections) connection.close()
    const latencies = this.#latencies
    return {
      requests: this.#requests,
      failed: this.#failed,
      failure: this.#failed === 0 ? undefined : this.#failure,
      seconds,
      cpu: (user + system) / 1e6,
      latencies: PERCENTILES.map((percent) => [percent, this.#requests === 0 ? 0 : latencies.percentile(percent) / 1000]),
      longest: this.#requests === 0 ? 0 : latencies.max / 1000,
    }
  }

  onAnswer(milliseconds: number): void {
    this.#requests++
    this.#latencies.record(Math.min(LONGEST, Math.max(1, Math.round(milliseconds * 1000))))
  }

  onFailure(reason: string): void {
    this.#failed++
    this.#failure ??= reason
  }
}

class LoadConnection {
  readonly #load: Load
  readonly #reader = new AnswerReader()
  #socket: net.Socket | undefined
  #next: number
  #sentAt = 0

  constructor(load: Load, index: number) {
    this.#load = load
    // Not all with the same path at first: they would stay in step.
    this.#next = index % load.job.requests.length
  }

  open(): void {
    if (this.#load.over) return
    const { port, host } = this.#load.job
    const socket = net.connect({ port, host, noDelay: true, onread: { buffer, callback: (length) => this.#onBytes(length) } })
    this.#socket = socket
    socket.once('connect', () => this.#send())
    // Its 'close' follows.
    socket.once('error', (error) => this.#load.onFailure(error.message))
    socket.once('close', (failed) => {
      if (this.#socket !== socket) return
      if (!failed && this.#reader.end()) this.#onAnswer()
      else if (!failed) this.#load.onFailure('the server closed a connection before its answer was complete')
      // Not at once: a server that refuses would be asked without end.
      setTimeout(() => this.open(), failed ? 20 : 0)
    })
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  #send(): void {
    const { requests } = this.#load.job
    const request = requests[this.#next] as LoadJob['requests'][number]
    this.#reader.expect(request.head)
    this.#sentAt = performance.now()
    this.#socket?.write(request.bytes)
  }

  #onBytes(length: number): boolean {
    try {
      if (this.#reader.read(buffer.subarray(0, length))) this.#onAnswer()
    } catch (error) {
      this.#load.onFailure((error as Error).message)
      this.#again()
    }
    return true
  }

  #onAnswer(): void {
    if (this.#load.over) return
    const { requests } = this.#load.job
    const { status } = requests[this.#next] as LoadJob['requests'][number]
    if (this.#reader.status === status) this.#load.onAnswer(performance.now() - this.#sentAt)
    else this.#load.onFailure(`answered with ${this.#reader.status} instead of ${status}`)
    this.#next = (this.#next + 1) % requests.length
    if (this.#reader.lastOnConnection) this.#again()
    else this.#send()
  }

  #again(): void {
    this.close()
    this.open()
  }
}

async function after(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
}

function tell(word: LoadWord): void {
  process.send?.(word)
}

process.once('message', (job: LoadJob) => {
  new Load(job).run().then((report) => {
    tell({ kind: 'done', report })
    process.disconnect()
  }, (error: unknown) => {
    throw error
  })
})
// Whoever measures is gone.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
