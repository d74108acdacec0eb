import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Lease } from '../../src/group/lease.ts'
import { SLOW_START } from '../../src/group/headcount.ts'
import { settle } from '../group/fake-clock.ts'
import type { FakeContext } from '../group/fake-context.ts'
import { House, targetOf } from '../group/house.ts'

const CAPS = { maxGroups: 4, maxContexts: 5, maxGroupsPerPattern: 2, maxStarts: 40, maxStarting: 2 }
const HOSTS = 8

/** A request's way: it settles once, and its lease belongs to a context that is not being evicted. */
interface Asked {
  settled: number
  lease: Lease | undefined
  cancel: ((reason: Error) => void) | undefined
}

class Model {
  readonly house = new House({ ...CAPS, queueTimeout: 8000, drainTimeout: 4000, random: () => 0.5 })
  readonly asked: Asked[] = []
  closed = false

  acquire(host: number): void {
    const pattern = host >= HOSTS / 2 ? { pattern: '*.wild.test' } : {}
    const limits = { groupLimits: { maxInFlight: 3, maxQueue: 3, idleTimeout: 20_000 }, contextLimits: { maxRequests: 7, maxAge: 60_000 } }
    const asked: Asked = { settled: 0, lease: undefined, cancel: undefined }
    this.asked.push(asked)
    try {
      const got = this.house.groups.acquire(targetOf(`h${host}`, { ...pattern, ...limits }), {
        onWait: (cancel) => {
          asked.cancel = cancel
        },
      })
      if (!(got instanceof Promise)) {
        this.#granted(asked, got)
        return
      }
      got.then((lease) => this.#granted(asked, lease), () => {
        asked.settled++
      })
    } catch {
      asked.settled++
    }
  }

  #granted(asked: Asked, lease: Lease): void {
    asked.settled++
    asked.lease = lease
    ;(lease.context as FakeContext).open()
  }

  release(index: number, served: boolean): void {
    const held = this.asked.filter(({ lease }) => lease !== undefined)
    const asked = held[index % Math.max(1, held.length)]
    if (asked?.lease === undefined) return
    const { lease } = asked
    asked.lease = undefined
    ;(lease.context as FakeContext).done()
    lease.release(served)
    lease.release(served)
  }

  context(index: number): FakeContext | undefined {
    const { alive } = this.house
    return alive[index % Math.max(1, alive.length)]
  }

  check(): void {
    const { house } = this
    const { alive } = house
    const zombies = house.contexts.filter(({ state }) => state === 'zombie').length
    assert.ok(alive.length + zombies <= CAPS.maxContexts, `${alive.length} contexts alive and ${zombies} zombies`)
    // Slow ones are let go of at the supervisor's next look.
    const young = alive.filter(({ state, bornAt }) => state === 'starting' && house.clock.now() - bornAt < SLOW_START)
    assert.ok(young.length <= CAPS.maxStarting)
    const stats = house.groups.stats()
    const table = stats.list.filter(({ segment }) => segment !== undefined)
    assert.ok(table.length <= CAPS.maxGroups)
    assert.ok(table.filter(({ pattern }) => pattern === '*.wild.test').length <= CAPS.maxGroupsPerPattern)
    // The supervisor notices at its next look that a zombie is gone.
    assert.ok(stats.zombies >= zombies)
    for (const context of house.contexts) {
      assert.ok(context.terminations.length <= 1, `context ${context.id} was terminated for ${context.terminations.join(', ')}`)
      // Nothing makes room by ending who works; age, a reload or a person may, after drainTimeout.
      if (context.inFlight > 0) assert.ok(!context.terminations.includes('lru') && !context.terminations.includes('inactivity'))
    }
    for (const { settled } of this.asked) assert.ok(settled <= 1)
    for (const { key, inFlight } of table) {
      const leased = this.asked.filter(({ lease }) => lease !== undefined && `:${lease.label}` === key && !(lease.context as FakeContext).gone)
      assert.ok(inFlight <= leased.length, 'a slot is counted that nobody holds')
    }
  }
}

type Step = (model: Model) => void | Promise<void>

const number = fc.nat(1000)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.nat(HOSTS - 1).map((host): Step => (model) => model.acquire(host)) },
  { weight: 6, arbitrary: fc.tuple(number, fc.boolean()).map(([index, served]): Step => (model) => model.release(index, served)) },
  { weight: 5, arbitrary: number.map((index): Step => (model) => model.context(index)?.becomeReady()) },
  { weight: 2, arbitrary: number.map((index): Step => (model) => model.context(index)?.crash()) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => model.context(index)?.exit()) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => {
    if (model.context(index)?.state === 'starting') model.context(index)?.failStart()
  }) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => {
    const context = model.context(index)
    if (context !== undefined) context.stubborn = true
  }) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => {
    const context = model.context(index)
    if (context !== undefined) context.immortal = true
  }) },
  { weight: 1, arbitrary: number.map((): Step => (model) => model.house.contexts.forEach((context) => context.rest())) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => {
    const waiting = model.asked.filter(({ settled, cancel }) => settled === 0 && cancel !== undefined)
    waiting[index % Math.max(1, waiting.length)]?.cancel?.(new Error('the client left'))
  }) },
  { weight: 1, arbitrary: fc.nat(HOSTS - 1).map((host): Step => (model) => void model.house.groups.evict(`h${host}`)) },
  { weight: 1, arbitrary: fc.nat(HOSTS - 1).map((host): Step => (model) => {
    model.house.groups.reload(`h${host}`).catch(() => {})
  }) },
  { weight: 4, arbitrary: fc.nat(6000).map((time): Step => (model) => model.house.clock.pass(time)) },
)

test('whatever happens in whatever order, the caps hold, every request is answered once, and everything ends', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 120, size: 'max' }), fc.boolean(), async (steps, gently) => {
    const model = new Model()
    for (const run of steps) {
      await run(model)
      await settle()
      model.check()
    }
    const { house } = model
    const ended = gently ? house.groups.close() : house.groups.destroy()
    await settle()
    model.check()
    await house.clock.pass(10_000)
    await ended
    while (model.asked.some(({ lease }) => lease !== undefined)) model.release(0, false)
    await settle()
    model.check()
    const stats = house.groups.stats()
    assert.equal(house.alive.length, 0)
    assert.deepEqual([stats.list.length, stats.inFlight, stats.queued, stats.pending], [0, 0, 0, 0])
    assert.ok(model.asked.every(({ settled }) => settled === 1), 'a request was never answered')
    assert.equal(house.clock.timers, 0, 'a timer was left behind')
  }), { numRuns: 600, includeErrorInReport: true })
})

test('a leased group is never evicted to make room', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.record({ host: fc.nat(12), keep: fc.boolean() }), { maxLength: 60 }), async (visits) => {
    const house = new House({ maxGroups: 3, maxContexts: 4 })
    const kept: Lease[] = []
    for (const { host, keep } of visits) {
      try {
        const lease = await house.lease(targetOf(`h${host}`))
        if (keep) kept.push(lease)
        else lease.release(true)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ERR_GROUP_LIMIT')
      }
      assert.ok(kept.every(({ context }) => context.state === 'serving'))
    }
  }), { numRuns: 100 })
})
