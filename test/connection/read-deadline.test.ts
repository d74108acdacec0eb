import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { readDeadline, readTimeout } from '../../src/connection/read-deadline.ts'
import { Sweep } from '../../src/connection/sweep.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import type { ReadLimits } from '../../src/connection/read-deadline.ts'
import type { Watched } from '../../src/connection/sweep.ts'

const limitsArb: fc.Arbitrary<ReadLimits> = fc.record({
  timeout: fc.integer({ min: 1, max: 60_000 }),
  maxTimeout: fc.oneof(fc.constant(0), fc.integer({ min: 60_000, max: 120_000 })),
  minRate: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2_000_000 })),
})
const startArb = fc.integer({ min: 0, max: 1e9 })
const pieces = fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 50 })

test('the deadline after all bytes is the one that mod_reqtimeout reaches read by read', () => {
  fc.assert(fc.property(limitsArb, startArb, pieces, (limits, start, reads) => {
    // Its own words: D = now + timeout, M = now + max; after n bytes D = min(D + n·f, M).
    const most = limits.maxTimeout > 0 ? start + limits.maxTimeout : Infinity
    let deadline = start + limits.timeout
    for (const bytes of reads) deadline = Math.min(deadline + (limits.minRate > 0 ? bytes * (1000 / limits.minRate) : 0), most)
    const all = reads.reduce((sum, bytes) => sum + bytes, 0)
    assert.ok(Math.abs(readDeadline(limits, start, all) - deadline) < 1e-3)
  }))
})

test('no deadline is before the timeout or behind the maximum, and bytes never bring it nearer', () => {
  fc.assert(fc.property(limitsArb, startArb, fc.nat(1e9), fc.nat(1e9), (limits, start, bytes, more) => {
    const deadline = readDeadline(limits, start, bytes)
    assert.ok(deadline >= start + limits.timeout)
    if (limits.maxTimeout > 0) assert.ok(deadline <= start + limits.maxTimeout)
    assert.ok(readDeadline(limits, start, bytes + more) >= deadline)
    if (limits.minRate === 0) assert.equal(deadline, start + limits.timeout)
  }))
})

test('a client at the least rate or above it is never cut where there is no maximum, and one below it always is', () => {
  fc.assert(fc.property(limitsArb, fc.integer({ min: 1, max: 1000 }), (limits, seconds) => {
    const { minRate } = limits
    fc.pre(minRate > 0)
    const open = { ...limits, maxTimeout: 0 }
    assert.ok(readDeadline(open, 0, minRate * seconds) > seconds * 1000)
    // At half the rate, twice the timeout is the end of it.
    const end = 2 * limits.timeout
    assert.ok(readDeadline(open, 0, (minRate / 2) * (end / 1000)) <= end + 1e-6)
  }))
})

test('the error says what came and of how much', () => {
  const error = readTimeout('body', { bytes: 140, length: 1000, milliseconds: 2800.4, label: 'a.test' })
  assert.equal(error.code, 'ERR_READ_TIMEOUT')
  assert.equal(error.status, 408)
  assert.equal(error.label, 'a.test')
  assert.equal(error.message, "The body of a request for 'a.test' came too slowly: 140 of 1000 bytes in 2800 ms")
})

test('a sweep calls each that is due once, forgets those that leave, and has no timer when it is empty', () => {
  fc.assert(fc.property(fc.array(fc.record({ deadline: fc.integer({ min: 1, max: 3000 }), leaves: fc.boolean() }), { maxLength: 60 }), (plan) => {
    const clock = new FakeClock()
    const sweep = new Sweep(clock)
    const dueAt = new Map<number, number[]>()
    const items = plan.map(({ deadline }, number): Watched => ({
      deadline,
      place: -1,
      due(now) {
        dueAt.set(number, [...(dueAt.get(number) ?? []), now])
        sweep.delete(this)
      },
    }))
    for (const item of items) sweep.add(item)
    for (const [number, item] of items.entries()) if (plan[number]?.leaves === true) sweep.delete(item)
    assert.equal(sweep.size, plan.filter(({ leaves }) => !leaves).length)
    for (let passed = 0; passed < 3300; passed += 50) clock.advance(50)
    for (const [number, { deadline, leaves }] of plan.entries()) {
      const times = dueAt.get(number) ?? []
      assert.equal(times.length, leaves ? 0 : 1)
      if (!leaves) assert.ok((times[0] as number) >= deadline && (times[0] as number) <= deadline + 100)
    }
    assert.equal(clock.timers, 0)
    assert.deepEqual(items.map(({ place }) => place), items.map(() => -1))
  }))
})
