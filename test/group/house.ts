import { Groups } from '../../src/group/groups.ts'
import type { GroupsOptions } from '../../src/group/groups-options.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { GroupLimits, ResolvedTenant } from '../../src/group/tenant.ts'
import type { ContextLimits, ContextSpec } from '../../src/context/context.ts'
import type { Label } from '../../src/label/request-facts.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { FakeContext } from './fake-context.ts'
import { FakeSpare } from './fake-spare.ts'

const label: Label = Object.assign(() => ({ key: 'x', shown: 'x' }), { kind: 'literal', perMount: false } as const)

export const OFF: ContextLimits = {
  startupTimeout: 0, memoryLimit: 0, bufferLimit: 0, cpuTimeLimit: 0, deadlockTimeout: 0, maxRequests: 0, maxAge: 0, terminateTimeout: 1000, trimTimeout: 0,
}

const GROUP_LIMITS: GroupLimits = { handlerTimeout: 0, idleTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 100 }

export interface TargetOptions {
  readonly pattern?: string
  readonly contextLimits?: Partial<ContextLimits>
  readonly groupLimits?: Partial<GroupLimits>
  readonly revision?: string
  readonly env?: Readonly<Record<string, string>>
  readonly threads?: number
}

export function targetOf(host: string, options: TargetOptions = {}): GroupTarget {
  const { pattern = host, contextLimits, groupLimits, revision = '1', env = {}, threads = 1 } = options
  const mounts = [{ path: '', entry: `/apps/${host}.js` }]
  const tenant: ResolvedTenant = {
    mounts, kind: 'auto', applicationGroup: label, processGroup: label, env, preload: [], permission: undefined,
    directory: '/apps', identity: host, revision, threads, tls: undefined,
    contextLimits: { ...OFF, ...contextLimits },
    groupLimits: { ...GROUP_LIMITS, ...groupLimits },
  }
  return { key: `:${host}`, label: host, processGroup: '', pattern, host, exact: pattern === host, tenant, mounts }
}

/** Groups with fake contexts under a fake clock. */
export class House {
  readonly clock = new FakeClock()
  readonly contexts: FakeContext[] = []
  readonly spares: FakeSpare[] = []
  readonly groups: Groups
  /** Thrown by the next creation. */
  refusal: Error | undefined

  constructor(options: Partial<GroupsOptions> = {}) {
    this.groups = new Groups({
      maxGroups: 10, maxContexts: 10, maxGroupsPerPattern: 0, maxStarts: 0, maxStarting: 0, maxZombies: 100, maxMemory: 0, residentMemory: () => 0,
      queueTimeout: 10_000, drainTimeout: 5000,
      clock: this.clock,
      random: () => 0.5,
      createContext: (spec) => {
        if (this.refusal !== undefined) throw this.refusal
        return this.#context(spec)
      },
      createSpare: () => {
        if (this.refusal !== undefined) throw this.refusal
        const spare = new FakeSpare((spec) => this.#context(spec))
        this.spares.push(spare)
        return spare
      },
      ...options,
    })
  }

  #context(spec: ContextSpec): FakeContext {
    const context = new FakeContext(spec, this.contexts.length + 1, this.clock.now())
    this.contexts.push(context)
    return context
  }

  /** Spares that hold a thread. */
  get spareThreads(): FakeSpare[] {
    return this.spares.filter(({ gone }) => !gone)
  }

  /** The latest context. */
  get last(): FakeContext {
    const context = this.contexts.at(-1)
    if (context === undefined) throw new Error('no context was made')
    return context
  }

  get alive(): FakeContext[] {
    return this.contexts.filter((context) => !context.gone)
  }

  /** A lease of the group of `target`, whose context becomes ready at once when it is new. */
  async lease(target: GroupTarget): Promise<Lease> {
    const got = this.groups.acquire(target)
    if (!(got instanceof Promise)) return got
    await settle()
    this.contexts.forEach((context) => context.becomeReady())
    await settle()
    this.contexts.forEach((context) => context.becomeReady())
    return await got
  }

  /** A live and idle group. */
  async visit(target: GroupTarget): Promise<FakeContext> {
    const lease = await this.lease(target)
    lease.release(true)
    return lease.context as FakeContext
  }

  state(host: string): string | undefined {
    return this.groups.stats().list.find(({ label: shown, state }) => shown === host && state !== 'draining')?.state
  }
}

/** The code of what a call throws or rejects with. */
export async function codeOf(run: () => unknown): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}
