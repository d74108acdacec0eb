import inspector from 'node:inspector'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import v8 from 'node:v8'
import workerThreads from 'node:worker_threads'
import { redirectStandardOutput } from './standard-output.ts'

/** Functions of `process` that reach beyond the thread; see docs/security.md. */
const PROCESS_ESCAPES = [
  'binding',
  '_linkedBinding',
  '_debugProcess',
  '_debugEnd',
  '_getActiveHandles',
  '_getActiveRequests',
] as const

const V8_ESCAPES = [
  'setFlagsFromString',
  'setHeapSnapshotNearHeapLimit',
  'writeHeapSnapshot',
  'getHeapSnapshot',
  'takeCoverage',
  'stopCoverage',
] as const

function refuse(name: string): () => never {
  return () => {
    throw new Error(`${name} is not available in a Tenantry context: it acts on the whole process`)
  }
}

/**
 * The hardened profile that costs applications nothing: what acts on the whole
 * process, or reaches other threads, is taken away before tenant code loads.
 * Fault isolation, not a sandbox: descriptors by number and the network stay.
 */
export function harden(): void {
  const own = process as unknown as Record<string, unknown>
  for (const name of PROCESS_ESCAPES) if (typeof own[name] === 'function') own[name] = refuse(`process.${name}`)
  delete own['report']
  delete own['__tinypool_state__']
  own['_kill'] = killOwnContext(own['_kill'] as Kill)

  const engine = v8 as unknown as Record<string, unknown>
  for (const name of V8_ESCAPES) if (typeof engine[name] === 'function') engine[name] = refuse(`v8.${name}`)

  // A message on it breaks Tinypool, and a closed port is what a main thread has: none.
  workerThreads.parentPort?.close()
  const threads = workerThreads as unknown as Record<string, unknown>
  threads['parentPort'] = null
  threads['workerData'] = null
  threads['postMessageToThread'] = refuse('worker_threads.postMessageToThread')
  threads['Worker'] = limitThreads(workerThreads.Worker)
  // One bus for the whole process: tenants would hear each other.
  threads['BroadcastChannel'] = undefined
  delete (globalThis as unknown as Record<string, unknown>)['BroadcastChannel']
  // Would run code in the front. (Loading node:inspector here costs 0.2 ms.)
  delete (inspector.Session.prototype as { connectToMainThread?: unknown }).connectToMainThread
  redirectStandardOutput()
  syncBuiltinESMExports()
}

/** Pools take one thread a core, or one and a half. */
const MAX_THREADS = Math.max(16, 2 * os.availableParallelism())

/** A context's own threads are in no cap of the house: a loop that starts them would end all memory. */
function limitThreads(Unlimited: typeof workerThreads.Worker): typeof workerThreads.Worker {
  let running = 0
  return class Worker extends Unlimited {
    constructor(...args: ConstructorParameters<typeof Unlimited>) {
      if (running >= MAX_THREADS) throw new Error(`A Tenantry context runs at most ${MAX_THREADS} threads of its own`)
      super(...args)
      running++
      this.once('exit', () => running--)
    }
  }
}

/** Node takes a pid as text, too. */
type Kill = (pid: number | string, signal: number) => number

/**
 * `process.kill` ends in `_kill`, after Node has checked what it was given. One that
 * hits our own process, or all processes near it, would end every tenant; it ends
 * this context, as it would end a process of its own. Its parent is the front of a
 * daemon, or whoever started the front, and no tenant's.
 */
function killOwnContext(kill: Kill): Kill {
  return (pid, signal) => {
    const isOwn = [0, -1, process.pid, -process.pid].includes(Number(pid))
    // 0 only asks, and what is no signal hits nobody.
    if (signal < 1 || signal > LAST_SIGNAL) return kill.call(process, pid, signal)
    if (!isOwn && Math.abs(Number(pid)) === process.ppid) {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM', syscall: 'kill' })
    }
    if (!isOwn) return kill.call(process, pid, signal)
    const names = Object.keys(os.constants.signals) as NodeJS.Signals[]
    const name = names.find((one) => os.constants.signals[one] === signal)
    if (name !== undefined && name !== 'SIGKILL' && process.emit(name, name)) return 0
    process.exit(128 + signal)
  }
}

/** Real-time signals have no names in Node; Linux has them up to here. */
const LAST_SIGNAL = 64
