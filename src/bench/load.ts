import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { TenantryError } from '../errors.ts'
import { APART } from './served.ts'

/** What the load generator is to do. */
export interface LoadJob {
  readonly host: string
  readonly port: number
  /** Whole requests, sent in turn; `status`: what each is answered with; `head`: without a body. */
  readonly requests: readonly { readonly bytes: Uint8Array; readonly status: number; readonly head: boolean }[]
  readonly connections: number
  /** Milliseconds under load before anything counts. */
  readonly warmup: number
  /** Milliseconds that count. */
  readonly duration: number
}

/** What the load generator saw while it counted. */
export interface LoadReport {
  readonly requests: number
  readonly failed: number
  readonly failure: string | undefined
  readonly seconds: number
  /** CPU seconds of the generator itself. */
  readonly cpu: number
  /** Percent, and the milliseconds within which that part of the answers was complete. */
  readonly latencies: readonly (readonly [percent: number, milliseconds: number])[]
  readonly longest: number
}

/** What the generator says to whoever measures. */
export type LoadWord = { readonly kind: 'measuring' } | { readonly kind: 'done'; readonly report: LoadReport }

const GENERATOR = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './load-generator.ts' : './load-generator.js', import.meta.url))

/**
 * Runs one job in a process of its own; `onMeasuring` when its warm-up is over.
 * @throws TenantryError ERR_BENCH when the generator ends, and whatever `signal` is aborted with
 */
export async function runLoad(job: LoadJob, onMeasuring: () => void, signal: AbortSignal): Promise<LoadReport> {
  signal.throwIfAborted()
  const child = fork(GENERATOR, [], { ...APART, serialization: 'advanced', execArgv: [], env: {}, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const stop = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', stop)
  try {
    return await new Promise<LoadReport>((resolve, reject) => {
      child.on('message', (word: LoadWord) => {
        if (word.kind === 'measuring') onMeasuring()
        else resolve(word.report)
      })
      child.once('error', reject)
      child.once('exit', (code, killed) => {
        reject(signal.aborted ? (signal.reason as Error)
          : new TenantryError('ERR_BENCH', `the load generator ended with ${killed ?? code}`))
      })
      child.send(job)
    })
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}
