import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { systemClock } from '../../src/clock.ts'
import { startThread } from '../../src/context/thread.ts'
import { TenantryError } from '../../src/errors.ts'
import { subscribe } from '../../src/events.ts'
import { Groups } from '../../src/group/groups.ts'
import { appFile, ask } from '../context/start.ts'
import { OFF, targetOf } from '../group/house.ts'
import type { TestContext } from 'node:test'
import type { Context, ContextSpec } from '../../src/context/context.ts'
import type { LiveContext } from '../../src/context/live-context.ts'
import type { GroupTarget } from '../../src/group/lease.ts'

/** Answers, and goes wrong on demand. */
const APP = `
  if (process.env.BROKEN) throw new Error('broken on demand')
  export default (req, res) => {
    if (req.url === '/throw') setImmediate(() => { throw new Error('thrown on demand') })
    else if (req.url === '/exit') process.exit(1)
    else if (req.url === '/spin') for (;;);
    else if (req.url === '/slow') setTimeout(() => res.end('slow'), 150)
    else res.end('fine')
  }
`
const CAPS = { maxGroups: 4, maxContexts: 5, maxGroupsPerPattern: 0, maxStarts: 0, maxStarting: 2, maxZombies: 2, maxMemory: 0 }
const HOSTS = 7
const FAULTS: ReadonlySet<string> = new Set(['/throw', '/exit', '/spin'])

/** Real threads, and what became of whatever was asked of them. */
class House {
  readonly groups: Groups
  readonly #entry: string
  /** Of every context by its number: how often it was told to end. */
  readonly #terminations = new Map<number, number>()
  readonly #alive = new Set<number>()
  /** Contexts that were asked for something that ends them. */
  readonly #doomed = new Set<number>()
  /** Healthy requests that got no answer. */
  readonly #unanswered: { contextId: number; path: string; outcome: string }[] = []
  readonly #running: Promise<void>[] = []
  readonly #faults: string[] = []
  #revision = 1
  answered = 0
  exits = 0
  widest = 0

  constructor(t: TestContext, entry: string) {
    this.#entry = entry
    this.groups = new Groups({
      ...CAPS, residentMemory: () => 0, queueTimeout: 10_000, drainTimeout: 5000, clock: systemClock,
      createContext: (spec) => this.#create(spec),
    })
    t.after(() => this.groups.destroy())
    t.after(subscribe('tenantry:context:exit', () => { this.exits++ }))
    t.after(subscribe('tenantry:evict', ({ label, reason }) => {
      const left = this.groups.stats().list.find((group) => group.label === label && group.segment === undefined && group.state === 'serving')
      const busy = left !== undefined && left.inFlight + left.queued > 0
      if (busy && (reason === 'lru' || reason === 'inactivity')) this.#faults.push(`${label} was told to go for ${reason} at work`)
    }))
  }

  request(host: number, path: string): void {
    this.#running.push(this.#request(this.#target(host), path))
  }

  reload(host: number, broken: boolean): void {
    this.#revision++
    const target = this.#target(host, broken ? { BROKEN: '1' } : {})
    this.#running.push(this.groups.reload(target.key, () => target).then(() => {}, () => {}))
  }

  evict(host: number): void {
    this.#running.push(this.groups.evict(`h${host}`).then(() => {}))
  }

  check(): void {
    assert.deepEqual(this.#faults, [])
    assert.ok(this.#alive.size <= CAPS.maxContexts, `${this.#alive.size} contexts are alive`)
    assert.ok([...this.#terminations.values()].every((count) => count <= 1), 'a context was ended twice')
    const { contexts, list } = this.groups.stats()
    assert.ok(contexts.starting <= CAPS.maxStarting)
    assert.ok(list.filter(({ segment }) => segment !== undefined).length <= CAPS.maxGroups)
    assert.ok(list.every((group) => group.contexts.length <= 1 + (Number(group.label.slice(1)) % 2)))
    this.widest = Math.max(this.widest, ...list.map((group) => group.contexts.length))
  }

  /** Closes while requests are under way: they are finished, everything ends, nothing is left. */
  async end(): Promise<void> {
    const report = await this.groups.close()
    await Promise.all(this.#running)
    this.check()
    assert.equal(report.zombies, 0)
    const { list, inFlight, queued, pending, births, contexts, ends } = this.groups.stats()
    assert.deepEqual([list.length, inFlight, queued, pending, this.#alive.size], [0, 0, 0, 0, 0])
    assert.deepEqual([contexts.starting, contexts.serving, contexts.draining, contexts.zombie], [0, 0, 0, 0])
    assert.equal(this.exits, births, 'every thread that was started has ended, once')
    assert.equal(Object.values(ends).reduce((sum, count) => sum + count, 0), births)
    const lost = this.#unanswered.filter(({ contextId }) => !this.#doomed.has(contextId))
    assert.deepEqual(lost, [], 'a request was lost in a context that met no fault')
  }

  #create(spec: ContextSpec): Context {
    const context = startThread(spec, systemClock)
    const terminate: Context['terminate'] = async (reason, error) => {
      this.#terminations.set(context.id, (this.#terminations.get(context.id) ?? 0) + 1)
      return await context.terminate(reason, error)
    }
    this.#alive.add(context.id)
    void context.ended.then(() => this.#alive.delete(context.id))
    // What a context decides about itself is not counted: only what it is told.
    return new Proxy(context, {
      get(target, name) {
        if (name === 'terminate') return terminate
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) as unknown : value
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    })
  }

  async #request(target: GroupTarget, path: string): Promise<void> {
    let lease
    try {
      lease = await this.groups.acquire(target)
    } catch (error) {
      assert.ok(error instanceof TenantryError && error.status !== null, String(error))
      return
    }
    const context = lease.context as LiveContext
    if (FAULTS.has(path)) this.#doomed.add(context.id)
    const outcome = await ask(context, path).then(
      (answer) => answer.outcome === 'end' && answer.body === (path === '/slow' ? 'slow' : 'fine') ? 'answered' : answer.outcome,
      (error: unknown) => String(error),
    )
    lease.release(outcome === 'answered')
    if (outcome === 'answered') this.answered++
    else if (!FAULTS.has(path)) this.#unanswered.push({ contextId: context.id, path, outcome })
  }

  #target(host: number, env: Record<string, string> = {}): GroupTarget {
    const target = targetOf(`h${host}`, {
      // Every second one may have two contexts.
      threads: 1 + (host % 2),
      revision: String(this.#revision),
      contextLimits: { ...OFF, startupTimeout: 30_000, deadlockTimeout: 1000, terminateTimeout: 10_000, maxRequests: 40 },
      groupLimits: { maxInFlight: 4, maxQueue: 6, idleTimeout: 700 },
    })
    const mounts = [{ path: '', entry: this.#entry }]
    return { ...target, mounts, tenant: { ...target.tenant, env, mounts } }
  }
}

type Step = (house: House) => Promise<void> | void

const host = fc.nat(HOSTS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: fc.tuple(host, fc.constantFrom('/', '/', '/slow')).map(([index, path]): Step => (house) => house.request(index, path)) },
  { weight: 3, arbitrary: fc.tuple(host, fc.constantFrom('/throw', '/throw', '/exit', '/exit', '/spin')).map(([index, path]): Step => (house) => {
    house.request(index, path)
  }) },
  { weight: 1, arbitrary: host.map((index): Step => (house) => house.evict(index)) },
  { weight: 2, arbitrary: fc.tuple(host, fc.nat(3)).map(([index, chance]): Step => (house) => house.reload(index, chance === 0)) },
  { weight: 6, arbitrary: fc.nat(150).map((time): Step => () => new Promise((resolve) => { setTimeout(resolve, time) })) },
)

test('with real threads the caps hold, no request is lost in a healthy context, and every thread ends once', async (t) => {
  // Nothing of a context holds the process.
  const hold = setInterval(() => {}, 1000)
  t.after(() => clearInterval(hold))
  const entry = appFile(t, APP)
  let answered = 0
  let widest = 0
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 60, maxLength: 110 }), async (steps) => {
    const house = new House(t, entry)
    for (const run of steps) {
      await run(house)
      house.check()
    }
    await house.end()
    answered += house.answered
    widest = Math.max(widest, house.widest)
  }), { numRuns: 6, endOnFailure: true, includeErrorInReport: true })
  assert.ok(answered > 40, `only ${answered} requests were answered: the threads were not tried`)
  assert.equal(widest, 2, 'no group had two contexts')
})
