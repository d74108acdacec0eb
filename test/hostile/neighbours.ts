import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Load } from './load.ts'
import type { MessagePort } from 'node:worker_threads'

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

  constructor(port: number) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: port })
  }

  /** Resolves once each of them is served. */
  async start(): Promise<void> {
    this.#worker.postMessage('start')
    await once(this.#worker, 'message')
  }

  async stop(): Promise<Fared> {
    this.#worker.postMessage('stop')
    const [fared] = (await once(this.#worker, 'message')) as [Fared]
    return fared
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** How often it is looked how late the machine is. */
const TICK = 5

async function watch(port: number): Promise<void> {
  for (;;) {
    await said('start')
    const load = new Load(port)
    // The first requests load code and open connections: they say nothing about the server.
    await answered(load)
    const lateness: number[] = []
    let expected = performance.now() + TICK
    const timer = setInterval(() => {
      const now = performance.now()
      lateness.push(Math.max(0, now - expected))
      expected = now + TICK
    }, TICK)
    load.begin()
    parentPort?.postMessage('ready')
    await said('stop')
    clearInterval(timer)
    // Those who wait for an answer just now are the ones to count.
    await answered(load)
    await load.stop()
    const { requests, failures, p99 } = load
    const late = lateness.toSorted((a, b) => a - b)[Math.floor(lateness.length * 0.99)] ?? 0
    parentPort?.postMessage({ requests, failures, p99, late } satisfies Fared)
  }
}

async function said(word: string): Promise<void> {
  const [heard] = (await once(parentPort as MessagePort, 'message')) as [string]
  if (heard !== word) throw new Error(`'${heard}' in place of '${word}'`)
}

/** Each of the neighbours has got one more answer, or none for longer than it waits. */
async function answered(load: Load): Promise<void> {
  const enough = load.requests + 2
  for (let waited = 0; load.requests < enough && waited < 4000; waited += TICK) {
    await new Promise((resolve) => { setTimeout(resolve, TICK) })
  }
}

if (!isMainThread && typeof workerData === 'number') void watch(workerData)
