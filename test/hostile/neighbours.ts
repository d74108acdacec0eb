import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Load } from './load.ts'

/** How the neighbours fared. Times in milliseconds. */
export interface Fared {
  readonly requests: number
  readonly failures: readonly string[]
  readonly p99: number
  /** p99 of how late this thread itself was woken: what the machine adds, whoever serves. */
  readonly late: number
}

/** The neighbours' load in a thread of its own: an attack that keeps the test busy must not delay the watch. */
export class Neighbours {
  readonly #worker: Worker

  private constructor(worker: Worker) {
    this.#worker = worker
  }

  static async open(port: number): Promise<Neighbours> {
    const worker = new Worker(new URL(import.meta.url), { workerData: port })
    await once(worker, 'message')
    return new Neighbours(worker)
  }

  async stop(): Promise<Fared> {
    this.#worker.postMessage('stop')
    const [fared] = (await once(this.#worker, 'message')) as [Fared]
    await this.#worker.terminate()
    return fared
  }
}

/** The first requests of a thread load code and open connections: they say nothing about the server. */
const SETTLING = 200

/** How often it is looked how late the machine is. */
const TICK = 5

function watch(port: number): void {
  const load = new Load(port)
  let lateness: number[] = []
  let expected = performance.now() + TICK
  const timer = setInterval(() => {
    const now = performance.now()
    lateness.push(Math.max(0, now - expected))
    expected = now + TICK
  }, TICK)
  setTimeout(() => {
    load.begin()
    lateness = []
    parentPort?.postMessage('ready')
  }, SETTLING)
  parentPort?.once('message', () => {
    clearInterval(timer)
    // Those who wait for an answer just now are the ones to count.
    void answered(load).then(() => load.stop()).then(() => {
      const { requests, failures, p99 } = load
      const late = lateness.toSorted((a, b) => a - b)[Math.floor(lateness.length * 0.99)] ?? 0
      parentPort?.postMessage({ requests, failures, p99, late } satisfies Fared)
    })
  })
}

/** Each of the neighbours has got one more answer, or none for longer than it waits. */
async function answered(load: Load): Promise<void> {
  const enough = load.requests + 2
  for (let waited = 0; load.requests < enough && waited < 4000; waited += TICK) {
    await new Promise((resolve) => { setTimeout(resolve, TICK) })
  }
}

if (!isMainThread && typeof workerData === 'number') watch(workerData)
