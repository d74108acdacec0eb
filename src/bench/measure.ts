import { TenantryError } from '../errors.ts'
import { ask, difference, requestBytes } from './ask.ts'
import { runLoad } from './load.ts'
import { readTree } from './process-tree.ts'
import { startContender } from './served.ts'
import type { Answer, Asked } from './ask.ts'
import type { Contender } from './contenders.ts'
import type { LoadJob, LoadReport } from './load.ts'
import type { LaneCounts, Served, Stage } from './served.ts'

/** What is to be measured, and how long. */
export interface Plan {
  readonly contenders: readonly Contender[]
  readonly stage: Stage
  readonly requests: readonly Asked[]
  readonly connections: number
  /** Milliseconds of one round that count. */
  readonly duration: number
  readonly rounds: number
  /** Whether every contender must answer as node:http does. */
  readonly compare: boolean
}

/** Figures of one contender in one round. undefined: this system does not say. */
export interface Round {
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Microseconds of the whole server for each request. */
  readonly cpu: number | undefined
  /** Bytes after the load. */
  readonly memory: number | undefined
  /** The most bytes under load, each process's shared pages counted. */
  readonly peakMemory: number | undefined
  /** Milliseconds. */
  readonly coldStart: number
  readonly latencies: LoadReport['latencies']
  /** Why connections of a hand-off row stayed in the front, and how many did; undefined: none, or no such row. */
  readonly keptBack: Readonly<Record<string, number>> | undefined
  /** The part of its time in which the load generator computed: near 1, it was the bound. */
  readonly generatorBusy: number
}

/** What node:http answers to each request. */
export interface Answered {
  readonly status: number
  readonly bytes: number
}

export interface Measured {
  /** Of those who can run here. */
  readonly contenders: readonly Contender[]
  readonly answers: readonly Answered[]
  /** In their order, a list of rounds each. */
  readonly rounds: readonly (readonly Round[])[]
}

/** Tells how far it is: `step` of `steps` begins. */
export type Progress = (step: number, steps: number, text: string) => void

/** V8 has compiled what is hot within two seconds; a shorter round is not warmed up longer than it lasts. */
const WARM_UP = 2000

/** A cold start is that of a tenant on a server that runs; a daemon starts within this time of its front. */
const SETTLE = 500

/** How often memory is looked at under load. */
const SAMPLE = 100

/** How long a round of one contender takes, about, in milliseconds. */
export function roundTime(duration: number): number {
  return warmUp(duration) + duration + SETTLE + 1000
}

export function warmUp(duration: number): number {
  return Math.min(WARM_UP, duration)
}

/**
 * Looks at the answers of all contenders, then measures them in rounds of alternating order: each in a server of its own,
 * with nothing beside it, since a process keeps the luck of its memory layout for as long as it lives.
 * @throws TenantryError ERR_BENCH, in one line: it does not start, answers wrongly, fails or ends under load
 */
export async function measure(plan: Plan, progress: Progress, signal: AbortSignal): Promise<Measured> {
  const { rounds } = plan
  const contenders: Contender[] = []
  let expected: Answer[] = []
  let [step, steps] = [0, plan.contenders.length * (rounds + 1)]
  for (const contender of plan.contenders) {
    progress(++step, steps, `answers of ${contender.name}`)
    const answers = await lookAt(contender, plan, expected, signal)
    if (answers === undefined) {
      steps -= rounds
      continue
    }
    if (contenders.length === 0) expected = answers
    contenders.push(contender)
  }
  const results = contenders.map((): Round[] => [])
  for (let round = 0; round < rounds; round++) {
    const order = contenders.map((_, index) => index)
    for (const index of round % 2 === 0 ? order : order.toReversed()) {
      const contender = contenders[index] as Contender
      progress(++step, steps, `round ${round + 1} of ${rounds}, ${contender.name}`)
      const figures = await oneRound(contender, plan, expected, signal)
      results[index]?.push(figures)
    }
  }
  return { contenders, answers: expected.map(({ status, bytes }) => ({ status, bytes })), rounds: results }
}

/**
 * Its answers, which are also the first reading of all its files, in which no cold start is timed; undefined where it
 * cannot be what it is called. `expected`: what node:http answered; empty: this is node:http.
 */
async function lookAt(
  contender: Contender, plan: Plan, expected: readonly Answer[], signal: AbortSignal,
): Promise<Answer[] | undefined> {
  return await withServed(contender, plan.stage, signal, async (served) => {
    if (contender.lane === 'handoff' && !served.handsOver) return undefined
    const answers: Answer[] = []
    for (const [index, asked] of plan.requests.entries()) {
      const answer = await ask(served.port, asked, contender, signal)
      const bare = expected[index]
      if (bare === undefined && answer.status >= 500) {
        throw failure(`${asked.method} ${asked.path} is answered with ${answer.status} by node:http itself: ${JSON.stringify(answer.text.slice(0, 120))}`)
      }
      const differs = bare === undefined ? undefined : difference(asked, bare, answer, contender.name)
      if (differs !== undefined && (plan.compare || answer.status !== bare?.status)) {
        throw failure(`${differs}; for a page that changes with each request: --no-compare`)
      }
      answers.push(answer)
    }
    return answers
  })
}

async function oneRound(contender: Contender, plan: Plan, expected: readonly Answer[], signal: AbortSignal): Promise<Round> {
  const { stage, requests, connections, duration } = plan
  const spawned = performance.now()
  let used: Served | undefined
  const round = await withServed(contender, stage, signal, async (served) => {
    used = served
    const isBare = contender.flags === undefined
    if (!isBare) await new Promise((resolve) => setTimeout(resolve, SETTLE))
    const first = await ask(served.port, requests[0] as Asked, contender, signal)
    // node:http has no tenants that start: there, the first answer waits for the process.
    const coldStart = isBare ? performance.now() - spawned : first.milliseconds
    const job: LoadJob = {
      host: '127.0.0.1',
      port: served.port,
      requests: requests.map((asked, index) => ({
        bytes: requestBytes(asked),
        status: expected[index]?.status ?? 0,
        head: asked.method === 'HEAD',
      })),
      connections,
      warmup: warmUp(duration),
      duration,
    }
    const { load, cpu, peakMemory } = await underLoad(served, job, contender, signal)
    const { proportional, resident } = await readTree(served.pid, { proportional: true })
    const within = (percent: number): number => load.latencies.find(([known]) => known === percent)?.[1] ?? 0
    return {
      requestsPerSecond: load.requests / load.seconds,
      p50: within(50),
      p99: within(99),
      p999: within(99.9),
      cpu: cpu === undefined ? undefined : (cpu / load.requests) * 1e6,
      memory: proportional ?? resident,
      peakMemory,
      coldStart,
      latencies: load.latencies,
      generatorBusy: load.cpu / load.seconds,
    }
  })
  return { ...round, keptBack: contender.lane === 'handoff' ? keptBack(used?.lanes()) : undefined }
}

function keptBack(lanes: LaneCounts | undefined): Round['keptBack'] {
  return lanes === undefined || Object.keys(lanes.relay).length === 0 ? undefined : lanes.relay
}

interface UnderLoad {
  readonly load: LoadReport
  readonly cpu: number | undefined
  readonly peakMemory: number | undefined
}

async function underLoad({ pid, ended }: Served, job: LoadJob, { name }: Contender, signal: AbortSignal): Promise<UnderLoad> {
  let before: Promise<number | undefined> = Promise.resolve(undefined)
  let peakMemory: number | undefined
  let looking: Promise<void> | undefined
  const look = async (): Promise<void> => {
    const { resident } = await readTree(pid)
    if (resident !== undefined) peakMemory = Math.max(peakMemory ?? 0, resident)
    looking = undefined
  }
  const timer = setInterval(() => {
    looking ??= look()
  }, SAMPLE)
  const stopLoad = new AbortController()
  try {
    const load = await Promise.race([runLoad(job, () => {
      before = readTree(pid).then(({ cpu }) => cpu)
    }, AbortSignal.any([signal, stopLoad.signal])), ended])
    const [cpuBefore, { cpu }] = [await before, await readTree(pid)]
    if (load.failed > 0) throw failure(`${load.failed} of ${load.requests + load.failed} requests to ${name} failed under load: ${load.failure}`)
    if (load.requests === 0) throw failure(`no request was answered by ${name} within ${load.seconds.toFixed(1)} s of load`)
    return { load, cpu: cpu === undefined || cpuBefore === undefined ? undefined : cpu - cpuBefore, peakMemory }
  } finally {
    clearInterval(timer)
    await looking
    stopLoad.abort()
  }
}

async function withServed<T>(
  contender: Contender, stage: Stage, signal: AbortSignal, use: (served: Served) => Promise<T>,
): Promise<T> {
  const served = await startContender(contender, stage, signal)
  try {
    return await Promise.race([use(served), served.ended])
  } finally {
    await served.stop()
  }
}

function failure(message: string): TenantryError {
  return new TenantryError('ERR_BENCH', message)
}
