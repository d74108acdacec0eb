import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Lease } from '../../src/group/lease.ts'
import { Cell } from '../../src/wire/scoreboard.ts'
import { settle } from '../group/fake-clock.ts'
import type { FakeContext } from '../group/fake-context.ts'
import { House, targetOf } from '../group/house.ts'
import { HOSTS, Model } from './groups-model.ts'

type Step = (model: Model) => void | Promise<void>

const number = fc.nat(1000)
const host = fc.nat(HOSTS - 1)

/** Something happens to one of the contexts that live. */
function toContext(happens: (context: FakeContext) => void): fc.Arbitrary<Step> {
  return number.map((index) => (model) => {
    const context = model.context(index)
    if (context !== undefined) happens(context)
  })
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: host.map((index): Step => (model) => model.acquire(index)) },
  { weight: 2, arbitrary: host.map((index): Step => (model) => model.warm(index)) },
  { weight: 12, arbitrary: fc.tuple(number, fc.boolean()).map(([index, served]): Step => (model) => model.release(index, served)) },
  { weight: 10, arbitrary: toContext((context) => context.becomeReady()) },
  { weight: 4, arbitrary: toContext((context) => context.crash()) },
  { weight: 2, arbitrary: toContext((context) => context.exit()) },
  { weight: 2, arbitrary: toContext((context) => {
    if (context.state === 'starting') context.failStart()
  }) },
  { weight: 2, arbitrary: toContext((context) => { context.stubborn = true }) },
  { weight: 2, arbitrary: toContext((context) => { context.lingers = true }) },
  { weight: 1, arbitrary: toContext((context) => { context.immortal = true }) },
  { weight: 2, arbitrary: number.map((): Step => (model) => model.house.contexts.forEach((context) => context.rest())) },
  // Over its limit it is replaced, a quarter above it ended.
  { weight: 1, arbitrary: fc.tuple(number, fc.constantFrom(1100, 2000)).map(([index, bytes]): Step => (model) => {
    model.context(index)?.scoreboard.write(Cell.heapUsed, bytes)
  }) },
  { weight: 1, arbitrary: fc.tuple(number, fc.constantFrom(1100, 2000)).map(([index, cpu]): Step => (model) => {
    const context = model.context(index)
    if (context !== undefined) context.cpu = cpu
  }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 2000).map((bytes): Step => (model) => { model.resident = bytes }) },
  { weight: 1, arbitrary: fc.boolean().map((fails): Step => (model) => {
    model.house.refusal = fails ? new Error('no thread can be made') : undefined
  }) },
  { weight: 2, arbitrary: number.map((index): Step => (model) => model.leave(index)) },
  { weight: 2, arbitrary: host.map((index): Step => (model) => void model.house.groups.evict(`h${index}`)) },
  { weight: 3, arbitrary: host.map((index): Step => (model) => model.reload(index)) },
  { weight: 4, arbitrary: number.map((index): Step => (model) => model.spare(index)?.boot()) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => model.spare(index)?.exit()) },
  { weight: 1, arbitrary: number.map((index): Step => (model) => {
    const spare = model.spare(index)
    if (spare !== undefined) spare.lingers = true
  }) },
  { weight: 8, arbitrary: fc.nat(6000).map((time): Step => (model) => model.house.clock.pass(time)) },
)

/** What happens; and, in some lives, when the server begins to drain, since little happens after that. */
const life = fc.record({
  steps: fc.array(step, { maxLength: 120, size: 'max' }),
  drainAt: fc.option(fc.nat(120), { freq: 4 }),
  gently: fc.boolean(),
})

test('whatever happens in whatever order, the caps hold, every request is answered once, and everything ends', async () => {
  await fc.assert(fc.asyncProperty(life, async ({ steps, drainAt, gently }) => {
    const model = new Model()
    const { house } = model
    try {
      for (const [index, run] of steps.entries()) {
        if (index === drainAt) model.drain()
        await run(model)
        await settle()
        model.check()
      }
      const ended = gently ? house.groups.close() : house.groups.destroy()
      await settle()
      model.check()
      // Who took his time to end is gone by then.
      for (const context of house.alive) if (context.lingers && context.terminations.length > 0) context.exit()
      await house.clock.pass(10_000)
      for (const context of house.alive) context.exit()
      for (const spare of house.spareThreads) spare.exit()
      await ended
      model.releaseAll()
      await settle()
      model.checkOver()
    } finally {
      model.stop()
    }
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
