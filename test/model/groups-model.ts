import assert from 'node:assert/strict'
import { subscribe } from '../../src/events.ts'
import { SLOW_START } from '../../src/group/headcount.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { FakeContext } from '../group/fake-context.ts'
import type { FakeSpare } from '../group/fake-spare.ts'
import { House, targetOf } from '../group/house.ts'

const CAPS = { maxGroups: 4, maxContexts: 5, maxGroupsPerPattern: 2, maxStarts: 40, maxStarting: 2 }
const WILD = '*.wild.test'
const LIMITS = {
  groupLimits: { maxInFlight: 3, maxQueue: 3, idleTimeout: 20_000 },
  contextLimits: { maxRequests: 7, maxAge: 60_000, memoryLimit: 1000, cpuTimeLimit: 1000 },
}

/** One context, two or three, by the host. */
function threadsOf(key: string): number {
  return 1 + (Number(key.slice(2)) % 3)
}

/** Half of them have their own name, half are named by a wildcard. */
export const HOSTS = 8

/** Ends that make room or save: never at the cost of who works. */
const NEVER_BUSY: ReadonlySet<string> = new Set(['lru', 'inactivity', 'pressure'])

/** A request's way: it settles once. */
interface Asked {
  settled: number
  lease: Lease | undefined
  cancel: ((reason: Error) => void) | undefined
}

/** Groups over fake contexts, what was asked of them, and what must hold whatever happens. */
export class Model {
  /** What the process holds; over 1000 is too much. */
  resident = 0
  readonly house = new House({
    ...CAPS, spares: 2, queueTimeout: 8000, drainTimeout: 4000, random: () => 0.5, maxMemory: 1000, residentMemory: () => this.resident,
  })
  /** Stops listening. */
  readonly stop: () => void
  readonly #asked: Asked[] = []
  /** Of each host's code: the one that new requests bring, and the one that a reload promised to serve. */
  readonly #revisions = new Map<number, number>()
  readonly #promised = new Map<string, number>()
  #draining = false
  /** Said by a listener, which must not throw. */
  readonly #faults: string[] = []

  constructor() {
    this.stop = subscribe('tenantry:group:state', ({ label, to, reason }) => {
      if (to === 'draining' && reason !== undefined) this.#onDrain(label, reason)
    })
  }

  acquire(host: number): void {
    const asked: Asked = { settled: 0, lease: undefined, cancel: undefined }
    this.#asked.push(asked)
    const wasDraining = this.#draining
    try {
      const got = this.house.groups.acquire(this.#target(host), {
        onWait: (cancel) => {
          asked.cancel = cancel
        },
      })
      assert.ok(!wasDraining, 'a closing server admitted a request')
      if (!(got instanceof Promise)) {
        this.#granted(asked, got)
        return
      }
      got.then((lease) => this.#granted(asked, lease), () => {
        asked.settled++
      })
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      asked.settled++
    }
  }

  warm(host: number): void {
    assert.ok(!this.house.groups.warm(this.#target(host)) || !this.#draining, 'a closing server started on evidence')
  }

  release(index: number, served: boolean): void {
    const held = this.#asked.filter(({ lease }) => lease !== undefined)
    const asked = held[index % Math.max(1, held.length)]
    if (asked?.lease === undefined) return
    const { lease } = asked
    asked.lease = undefined
    ;(lease.context as FakeContext).done()
    lease.release(served)
    lease.release(served)
  }

  /** The client of one that waits leaves. */
  leave(index: number): void {
    const waiting = this.#asked.filter(({ settled, cancel }) => settled === 0 && cancel !== undefined)
    waiting[index % Math.max(1, waiting.length)]?.cancel?.(new Error('the client left'))
  }

  /** The host's code changes, and is to be served from the moment that the reload resolves. */
  reload(host: number): void {
    const revision = this.#revision(host) + 1
    this.#revisions.set(host, revision)
    const target = this.#target(host)
    this.house.groups.reload(target.key, () => target).then((found) => {
      if (found) this.#promised.set(target.key, Math.max(revision, this.#promised.get(target.key) ?? 0))
    }, () => {})
  }

  drain(): void {
    this.#draining = true
    this.house.groups.drain()
  }

  context(index: number): FakeContext | undefined {
    const { alive } = this.house
    return alive[index % Math.max(1, alive.length)]
  }

  spare(index: number): FakeSpare | undefined {
    const { spareThreads } = this.house
    return spareThreads[index % Math.max(1, spareThreads.length)]
  }

  /** Everybody who holds a slot gives it back. */
  releaseAll(): void {
    while (this.#asked.some(({ lease }) => lease !== undefined)) this.release(0, false)
  }

  check(): void {
    const { house } = this
    const { alive } = house
    assert.deepEqual(this.#faults, [])
    const zombies = house.contexts.filter(({ state }) => state === 'zombie').length
    const spares = house.spareThreads.length
    assert.ok(alive.length + zombies + spares <= CAPS.maxContexts, `${alive.length} contexts alive, ${zombies} zombies and ${spares} spares`)
    // Slow ones are let go of at the supervisor's next look.
    const young = alive.filter(({ state, bornAt }) => state === 'starting' && house.clock.now() - bornAt < SLOW_START)
    assert.ok(young.length <= CAPS.maxStarting)
    const stats = house.groups.stats()
    const table = stats.list.filter(({ segment }) => segment !== undefined)
    assert.ok(table.length <= CAPS.maxGroups)
    assert.equal(new Set(table.map(({ key }) => key)).size, table.length, 'one name stands twice in the table')
    assert.ok(table.filter(({ pattern }) => pattern === WILD).length <= CAPS.maxGroupsPerPattern)
    // The supervisor notices at its next look that a zombie is gone.
    assert.ok(stats.zombies >= zombies)
    assert.equal(stats.births, house.contexts.length)
    for (const context of house.contexts) this.#checkContext(context)
    for (const { settled } of this.#asked) assert.ok(settled <= 1, 'a request was settled twice')
    for (const { key, inFlight, contexts } of table) {
      assert.ok(contexts.length <= threadsOf(key), `${key} has ${contexts.length} contexts`)
      assert.ok(inFlight <= LIMITS.groupLimits.maxInFlight, `${key} has ${inFlight} requests in flight`)
      assert.equal(contexts.reduce((sum, context) => sum + context.inFlight, 0), inFlight, 'a group counts other slots than its contexts')
    }
    for (const { id, inFlight } of stats.list.flatMap(({ contexts }) => contexts)) {
      const leased = this.#asked.filter(({ lease }) => lease?.context.id === id)
      assert.equal(inFlight, leased.length, 'a slot is counted that nobody holds, or held and not counted')
    }
    for (const { key, tenant } of house.groups.targets()) {
      assert.ok(Number(tenant.revision) >= (this.#promised.get(key) ?? 0), `${key} serves ${tenant.revision} after a reload promised newer code`)
    }
  }

  /** After close() or destroy() and every release. */
  checkOver(): void {
    this.check()
    const { house } = this
    const { list, inFlight, queued, pending, contexts, ends } = house.groups.stats()
    assert.equal(house.alive.length, 0)
    assert.deepEqual([list.length, inFlight, queued, pending], [0, 0, 0, 0])
    assert.deepEqual([contexts.starting, contexts.serving, contexts.draining], [0, 0, 0])
    assert.equal(Object.values(ends).reduce((sum, count) => sum + count, 0), house.contexts.length, 'an end was counted twice, or not at all')
    assert.ok(this.#asked.every(({ settled }) => settled === 1), 'a request was never answered')
    assert.equal(house.clock.timers, 0, 'a timer was left behind')
  }

  #checkContext(context: FakeContext): void {
    const { id, inFlight, terminations } = context
    assert.ok(terminations.length <= 1, `context ${id} was terminated for ${terminations.join(', ')}`)
    // Age, a reload or a person may, after drainTimeout.
    if (inFlight > 0) assert.ok(!terminations.some((reason) => NEVER_BUSY.has(reason)), `context ${id} was at work and ended for ${terminations[0]}`)
  }

  #granted(asked: Asked, lease: Lease): void {
    asked.settled++
    asked.lease = lease
    ;(lease.context as FakeContext).open()
  }

  /** The group leaves the table next; or it is one context of a group that stays there, and the last in the list. */
  #onDrain(label: string, reason: string): void {
    if (!NEVER_BUSY.has(reason)) return
    const named = this.house.groups.stats().list.filter((group) => group.label === label && group.state === 'draining')
    const leaving = named.find(({ segment }) => segment !== undefined) ?? named.at(-1)
    if (leaving === undefined) this.#faults.push(`${label} was told to go for ${reason} and is not in the list`)
    else if (leaving.inFlight + leaving.queued > 0) {
      this.#faults.push(`${label} was told to go for ${reason} with ${leaving.inFlight} in flight and ${leaving.queued} waiting`)
    }
  }

  #revision(host: number): number {
    return this.#revisions.get(host) ?? 1
  }

  #target(host: number): GroupTarget {
    const pattern = host >= HOSTS / 2 ? { pattern: WILD } : {}
    // Every third cannot have a spare's thread.
    const env: Record<string, string> = host % 3 === 2 ? { NODE_PATH: '/lib' } : {}
    return targetOf(`h${host}`, { ...pattern, ...LIMITS, env, threads: threadsOf(`:h${host}`), revision: String(this.#revision(host)) })
  }
}
