import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decide, mayStartNow, mayWiden } from '../../src/group/admission.ts'
import type { AdmissionInput, AdmissionLimits, Census, GroupView } from '../../src/group/admission.ts'
import { fullRate, refill, takeOne } from '../../src/group/start-rate.ts'
import { backOff } from '../../src/group/backoff.ts'

const LIMITS: AdmissionLimits = { maxGroups: 4, maxContexts: 4, maxGroupsPerPattern: 2, maxStarts: 8, maxStarting: 2, maxZombies: 1 }

const EMPTY: Census = {
  draining: false, groups: 0, contexts: 0, zombies: 0, strained: false, ending: 0, pending: 0, starting: 0, rate: fullRate(8, 0),
}

const LIVE: GroupView = { state: 'serving', inFlight: 0, queued: 0, retryAt: 0, maxInFlight: 2, maxQueue: 2 }

function input(census: Partial<Census>, rest: Partial<AdmissionInput> = {}): AdmissionInput {
  return { census: { ...EMPTY, ...census }, group: undefined, patternGroups: 0, exact: true, ...rest }
}

function codeOf(asked: AdmissionInput, now = 0): string {
  const decision = decide(asked, LIMITS, now)
  return decision.do === 'refuse' ? decision.code : decision.do
}

test('a live group with a free slot is used, whatever else is full', () => {
  const crowded = { groups: 4, contexts: 4, starting: 2, rate: { tokens: 0, at: 0 } }
  assert.equal(codeOf(input(crowded, { group: LIVE })), 'use')
})

test('a busy group lets requests wait, and refuses when its queue is full', () => {
  assert.equal(codeOf(input({}, { group: { ...LIVE, inFlight: 2 } })), 'wait')
  assert.equal(codeOf(input({}, { group: { ...LIVE, inFlight: 2, queued: 2 } })), 'ERR_QUEUE_FULL')
  assert.equal(codeOf(input({}, { group: { ...LIVE, state: 'starting', queued: 1 } })), 'wait')
  assert.equal(codeOf(input({}, { group: { ...LIVE, state: 'starting', queued: 2 } })), 'ERR_QUEUE_FULL')
})

test('maxInFlight 0 means no limit', () => {
  assert.equal(codeOf(input({}, { group: { ...LIVE, inFlight: 1_000_000, maxInFlight: 0 } })), 'use')
})

test('a closing server refuses even a live group', () => {
  assert.equal(codeOf(input({ draining: true }, { group: LIVE })), 'ERR_DRAINING')
})

test('a failed group waits for the end of its back-off and says in seconds how long that is', () => {
  const group: GroupView = { ...LIVE, state: 'failed', retryAt: 2500 }
  const refusal = decide(input({}, { group }), LIMITS, 0)
  assert.deepEqual([refusal.do, refusal.do === 'refuse' && [refusal.code, refusal.retryAfter]], ['refuse', ['ERR_GROUP_BACKOFF', 3]])
  assert.equal(codeOf(input({}, { group }), 2500), 'create')
})

test('each cap asks for a victim of its own kind, and refuses with its own code when there is none', () => {
  const cases = [
    [input({ groups: 2 }, { exact: false, patternGroups: 2 }), 'ERR_PATTERN_LIMIT', { samePattern: true, withContext: false }],
    [input({ groups: 4 }), 'ERR_GROUP_LIMIT', { samePattern: false, withContext: false }],
    [input({ contexts: 4 }), 'ERR_GROUP_LIMIT', { samePattern: false, withContext: true }],
    [input({ contexts: 4, groups: 4 }, { exact: false, patternGroups: 2 }), 'ERR_PATTERN_LIMIT', { samePattern: true, withContext: true }],
  ] as const
  for (const [asked, code, victim] of cases) {
    const decision = decide(asked, LIMITS, 0)
    assert.equal(decision.do, 'evict')
    if (decision.do !== 'evict') continue
    assert.deepEqual(decision.victim, victim)
    assert.equal(decision.otherwise.code, code)
    assert.ok(decision.otherwise.retryAfter > 0)
  }
})

test('a place that will be free soon is given away once', () => {
  assert.equal(codeOf(input({ contexts: 4, ending: 1 })), 'create')
  assert.equal(codeOf(input({ contexts: 4, ending: 1, pending: 1 })), 'evict')
})

test('exact hosts are never counted against maxGroupsPerPattern', () => {
  assert.equal(codeOf(input({ groups: 3 }, { patternGroups: 99 })), 'create')
})

test('a wildcard cannot use up the births that exact hosts need', () => {
  const rate = { tokens: 2.5, at: 0 }
  assert.equal(codeOf(input({ rate }, { exact: false })), 'ERR_START_RATE')
  assert.equal(codeOf(input({ rate })), 'create')
})

test('a refusal over the rate of births says when the next one may be', () => {
  const decision = decide(input({ rate: { tokens: 0, at: 0 } }), LIMITS, 0)
  assert.equal(decision.do === 'refuse' && decision.retryAfter, 8)
})

test('over any minute no more are born than the bucket held and a minute fills', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat(10_000), { maxLength: 200 }), (maxStarts, gaps) => {
    let now = 0
    let rate = fullRate(maxStarts, 0)
    const births: number[] = []
    for (const gap of gaps) {
      now += gap
      const limits = { ...LIMITS, maxStarts }
      if (decide(input({ rate }), limits, now).do !== 'create') continue
      rate = takeOne(refill(rate, maxStarts, now))
      births.push(now)
    }
    for (const start of births) {
      const within = births.filter((at) => at >= start && at < start + 60_000).length
      assert.ok(within <= maxStarts * 2, `${within} births in a minute, maxStarts ${maxStarts}`)
    }
  }))
})

test('whatever the house looks like, a granted birth keeps every cap', () => {
  const census = fc.record({
    draining: fc.boolean(), zombies: fc.nat(3), strained: fc.boolean(), groups: fc.nat(6), contexts: fc.nat(6), ending: fc.nat(3), pending: fc.nat(3),
    starting: fc.nat(3), rate: fc.record({ tokens: fc.double({ min: 0, max: 8, noNaN: true }), at: fc.constant(0) }),
  })
  const group = fc.option(fc.record({
    state: fc.constantFrom('starting', 'serving', 'failed'), inFlight: fc.nat(3), queued: fc.nat(3),
    retryAt: fc.nat(10), maxInFlight: fc.nat(3), maxQueue: fc.nat(3),
  } as const), { nil: undefined })
  fc.assert(fc.property(census, group, fc.nat(4), fc.boolean(), fc.nat(10), (house, view, patternGroups, exact, now) => {
    const decision = decide({ census: house, group: view, patternGroups, exact }, LIMITS, now)
    if (house.draining) assert.equal(decision.do, 'refuse')
    if (decision.do === 'use') assert.ok(view?.state === 'serving' && (view.maxInFlight === 0 || view.inFlight < view.maxInFlight))
    if (decision.do === 'wait') assert.ok(view !== undefined && view.queued < view.maxQueue)
    if (decision.do === 'create') {
      assert.ok(view === undefined ? house.groups < 4 : view.state === 'failed' && now >= view.retryAt)
      assert.ok(house.contexts - house.ending + house.pending < 4)
      assert.ok(house.zombies <= 1 && !house.strained)
      assert.ok(view !== undefined || exact || patternGroups < 2)
      assert.ok(refill(house.rate, 8, now).tokens >= 1)
    }
    if (mayStartNow(house, LIMITS)) assert.ok(house.contexts < 4 && house.starting < 2)
  }), { numRuns: 2000 })
})

test('a further context of a group starts only in a place that nobody waits for, and leaves starts for first ones', () => {
  const may = (census: Partial<Census>): boolean => mayWiden({ ...EMPTY, ...census }, LIMITS, 0)
  assert.ok(may({ contexts: 3 }))
  assert.ok(may({ rate: { tokens: 3, at: 0 } }))
  const refused: Partial<Census>[] = [
    { contexts: 4 }, { contexts: 4, ending: 1 }, { contexts: 3, pending: 1 }, { starting: 2 }, { draining: true }, { strained: true },
    { zombies: 2 }, { rate: { tokens: 2, at: 0 } },
  ]
  for (const census of refused) assert.ok(!may(census), JSON.stringify(census))
})

test('the back-off doubles to a minute, and chance moves it by no more than half', () => {
  assert.deepEqual([0, 1, 2, 3, 7, 1000].map((failures) => backOff(failures, 1)), [0, 1000, 2000, 4000, 60_000, 60_000])
  fc.assert(fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
    const delay = backOff(failures, random)
    assert.ok(delay <= 60_000 && delay >= backOff(failures, 1) / 2)
  }))
})
