import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { LRUCache } from 'lru-cache'
import { Segments, VISIT_GAP } from '../../src/group/policy.ts'
import { Frequency } from '../../src/group/frequency.ts'

interface Place {
  readonly host: string
}

interface Cache {
  readonly size: number
  use(host: string, now: number): unknown
  victim(mayGo: () => boolean): Place | undefined
  delete(host: string): unknown
  add(host: string, place: Place, now: number): unknown
}

interface Stream {
  readonly hosts: number
  readonly alpha: number
  readonly scan: number
  readonly burst: number
  readonly requests: number
  readonly seed: number
}

const { hostStream, hitRatio } = (await import(
  pathToFileURL(path.resolve('benchmarks/policy-stream.mjs')).href
)) as { hostStream: (stream: Stream) => Iterable<unknown>; hitRatio: (stream: Iterable<unknown>, cache: Cache, size: number) => number }

function plainLru(size: number): Cache {
  const cache = new LRUCache<string, Place>({ max: size + 1 })
  return {
    get size() {
      return cache.size
    },
    use: (host) => cache.get(host),
    victim: () => cache.peek(cache.rkeys().next().value ?? ''),
    delete: (host) => cache.delete(host),
    add: (host, place) => cache.set(host, place),
  }
}

function ratios(size: number, scan: number, burst: number): { ours: number; lru: number } {
  const stream: Stream = { hosts: size * 8, alpha: 0.9, scan, burst, requests: 30_000, seed: 11 }
  return {
    ours: hitRatio(hostStream(stream), new Segments<Place>({ capacity: size, seed: 3 }), size),
    lru: hitRatio(hostStream(stream), plainLru(size), size),
  }
}

for (const size of [8, 32]) {
  test(`a scan of one-off hosts does not throw out the tenants in use (${size} places)`, () => {
    const pure = ratios(size, 0, 1)
    for (const burst of [1, 8]) {
      const { ours, lru } = ratios(size, 0.5, burst)
      assert.ok(ours > lru + 0.1, `burst ${burst}: ${ours} against ${lru} of plain LRU`)
      assert.ok(ours > pure.ours - 0.05, `burst ${burst}: ${ours} against ${pure.ours} without a scan`)
    }
  })

  test(`without a scan the policy loses nothing to plain LRU (${size} places)`, () => {
    const { ours, lru } = ratios(size, 0, 1)
    assert.ok(ours > lru - 0.01, `${ours} against ${lru}`)
  })
}

test('a busy entry is never the victim, and an unused one always may be', () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 12 }),
    fc.array(fc.record({ host: fc.nat(20), busy: fc.boolean(), gap: fc.nat(2 * VISIT_GAP) }), { maxLength: 200 }),
    (capacity, steps) => {
      const segments = new Segments<{ host: string; busy: boolean }>({ capacity, seed: 1 })
      let now = 0
      for (const { host: number, busy, gap } of steps) {
        now += gap
        const host = `h${number}`
        const entry = segments.use(host, now)
        if (entry !== undefined) {
          entry.busy = busy
          continue
        }
        if (segments.size >= capacity) {
          const victim = segments.victim((candidate) => !candidate.busy)
          const free = [...segments.values()].filter((candidate) => !candidate.busy)
          assert.equal(victim === undefined, free.length === 0)
          if (victim === undefined) continue
          assert.equal(victim.busy, false)
          assert.ok(segments.delete(victim.host))
        }
        segments.add(host, { host, busy }, now)
        assert.ok(segments.size <= capacity)
        assert.equal(segments.peek(host)?.host, host)
      }
      const hosts = [...segments.values()].map(({ host }) => host)
      assert.equal(new Set(hosts).size, segments.size)
    },
  ))
})

test('a burst of requests is one visit: a page with its pictures makes no regular', () => {
  const segments = new Segments<Place>({ capacity: 10, seed: 1 })
  segments.add('once', { host: 'once' }, 0)
  segments.add('next', { host: 'next' }, 0)
  for (let request = 1; request < 50; request++) segments.use('once', request * 100)
  assert.equal(segments.segment('once'), 'probation')
  segments.use('once', VISIT_GAP)
  assert.equal(segments.segment('once'), 'protected')
})

test('a host that keeps returning gets past the window even when it was evicted between', () => {
  const segments = new Segments<Place>({ capacity: 4, seed: 1 })
  for (const host of ['a', 'b', 'c', 'd']) segments.add(host, { host }, 0)
  let now = 0
  for (let round = 0; round < 20; round++) {
    for (const host of ['back', `once-${round}`]) {
      now += VISIT_GAP
      if (segments.use(host, now) !== undefined) continue
      if (segments.size >= 4) segments.delete((segments.victim(() => true) as Place).host)
      segments.add(host, { host }, now)
    }
  }
  assert.notEqual(segments.segment('back'), undefined)
})

test('the memory of visits is bounded and forgets', () => {
  const frequency = new Frequency(4, 1)
  for (let visit = 0; visit < 100; visit++) frequency.add('regular')
  assert.equal(frequency.of('regular'), 15)
  for (let visit = 0; visit < 20_000; visit++) frequency.add(`once-${visit}`)
  assert.ok(frequency.of('regular') < 15)
})

test('a count may be too high, never too low', () => {
  fc.assert(fc.property(fc.array(fc.string({ maxLength: 6 }), { maxLength: 300 }), (keys) => {
    const frequency = new Frequency(64, 5)
    for (const key of keys) frequency.add(key)
    for (const key of new Set(keys)) {
      const real = keys.filter((other) => other === key).length
      assert.ok(frequency.of(key) >= Math.min(real, 15))
    }
  }))
})
