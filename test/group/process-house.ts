import { TenantryError } from '../../src/errors.ts'
import { ProcessGroup } from '../../src/group/process-group.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { FakeContext } from './fake-context.ts'
import { FakeSpare } from './fake-spare.ts'
import type { ContextSpec } from '../../src/context/context.ts'
import type { Daemon, DaemonEnd, DaemonState } from '../../src/context/daemon.ts'
import type { EndReason } from '../../src/events.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { ProcessGroupLimits } from '../../src/group/process-group.ts'

/** A daemon without a process: a test says when it is ready, what it uses, and when it dies. */
export class FakeDaemon {
  readonly pid: number
  readonly contexts: FakeContext[] = []
  readonly spares: FakeSpare[] = []
  readonly ready: Promise<void>
  readonly ended: Promise<DaemonEnd>
  state: DaemonState = 'starting'
  resident = 0
  cpu = 0
  /** Why it was told to end or killed. */
  reason: EndReason | undefined
  /** Does not end when it is told to. */
  stubborn = false
  #resolveReady: () => void = () => {}
  #rejectReady: (error: Error) => void = () => {}
  #resolveEnded: (end: DaemonEnd) => void = () => {}

  constructor(pid: number) {
    this.pid = pid
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {})
    this.ended = new Promise((resolve) => { this.#resolveEnded = resolve })
  }

  serve(): void {
    if (this.state !== 'starting') return
    this.state = 'serving'
    this.#resolveReady()
  }

  end(reason: EndReason): void {
    if (this.state === 'exited') return
    this.state = 'ending'
    this.reason ??= reason
    if (!this.stubborn) this.die(reason, 0)
  }

  kill(reason: EndReason): void {
    this.reason ??= reason
    this.die(reason)
  }

  die(reason: EndReason = 'crash', exitCode: number | null = null): void {
    if (this.state === 'exited') return
    this.state = 'exited'
    const error = new TenantryError('ERR_DAEMON_EXITED', 'it died')
    this.#rejectReady(error)
    for (const context of this.contexts) context.exit(error)
    for (const spare of this.spares) spare.exit()
    this.#resolveEnded({ reason, exitCode, signal: null })
  }
}

const NO_LIMITS: ProcessGroupLimits = { processes: 1, maxRequests: 0, idleTimeout: 0, maxAge: 0, cpuTimeLimit: 0, memoryLimit: 0 }

export interface ProcessHouseOptions extends Partial<ProcessGroupLimits> {
  readonly startAhead?: boolean
  readonly maxZombies?: number
  readonly spares?: number
}

/** A process group with fake daemons under a fake clock. */
export class ProcessHouse {
  readonly clock = new FakeClock()
  readonly daemons: FakeDaemon[] = []
  readonly group: ProcessGroup
  /** Daemons and contexts are ready as soon as they are started. */
  eager = true
  /** Thrown instead of starting a daemon. */
  refusal: Error | undefined
  #contexts = 0

  constructor({ startAhead = false, maxZombies = 100, spares = 0, ...limits }: ProcessHouseOptions = {}) {
    this.group = new ProcessGroup({
      name: 'pool', startAhead, limits: { ...NO_LIMITS, ...limits },
      groups: {
        maxGroups: 10, maxContexts: 10, maxGroupsPerPattern: 0, maxStarts: 0, maxStarting: 0, maxZombies, maxMemory: 0, residentMemory: () => 0, spares,
        queueTimeout: 10_000, drainTimeout: 5000, clock: this.clock, random: () => 0,
      },
      startSpareIn: (daemon) => {
        const spare = new FakeSpare((spec) => this.#startIn(daemon as unknown as FakeDaemon, spec))
        ;(daemon as unknown as FakeDaemon).spares.push(spare)
        return spare
      },
      openDaemon: () => this.#openDaemon() as unknown as Daemon,
      startIn: (daemon, spec) => this.#startIn(daemon as unknown as FakeDaemon, spec),
    })
  }

  #startIn(daemon: FakeDaemon, spec: ContextSpec): FakeContext {
    const context = new FakeContext(spec, ++this.#contexts, this.clock.now())
    daemon.contexts.push(context)
    if (this.eager) setImmediate(() => context.becomeReady())
    return context
  }

  #openDaemon(): FakeDaemon {
    if (this.refusal !== undefined) throw this.refusal
    const daemon = new FakeDaemon(this.daemons.length + 1)
    this.daemons.push(daemon)
    if (this.eager) setImmediate(() => daemon.serve())
    return daemon
  }

  daemon(pid: number): FakeDaemon {
    const found = this.daemons[pid - 1]
    if (found === undefined) throw new Error(`there is no daemon ${pid}`)
    return found
  }

  async lease(target: GroupTarget): Promise<Lease> {
    const lease = await this.group.acquire(target)
    await settle()
    return lease
  }

  /** One request, answered; the number of the daemon that did. */
  async visit(target: GroupTarget): Promise<number> {
    const lease = await this.lease(target)
    lease.release(true)
    return this.pidOf(lease)
  }

  pidOf({ context }: Lease): number {
    return this.daemons.find(({ contexts }) => contexts.includes(context as FakeContext))?.pid ?? 0
  }

  get states(): readonly string[] {
    return this.group.stats().processes.map(({ pid, state }) => `${pid ?? '-'} ${state}`)
  }
}
