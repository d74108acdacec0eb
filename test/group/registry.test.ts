import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Registry } from '../../src/group/registry.ts'
import type { Registered } from '../../src/group/registry.ts'
import { FakeClock } from './fake-clock.ts'
import { WaitQueue } from '../../src/group/wait-queue.ts'
import type { Lease } from '../../src/group/lease.ts'
import { targetOf } from './house.ts'

function group(host: string, pattern = host, rest: Partial<Registered> = {}): Registered {
  return { target: targetOf(host, { pattern }), idle: true, holdsContext: true, ...rest }
}

test('groups of a pattern are counted, those of exact hosts are not', () => {
  const registry = new Registry<Registered>(10, 1)
  const [one, two] = [group('a.wild.test', '*.wild.test'), group('b.wild.test', '*.wild.test')]
  for (const added of [one, two, group('exact.test')]) registry.add(added, 0)
  assert.equal(registry.inPattern('*.wild.test'), 2)
  assert.equal(registry.inPattern('exact.test'), 0)
  registry.remove(one)
  registry.remove(one)
  assert.equal(registry.inPattern('*.wild.test'), 1)
  assert.equal(registry.size, 2)
})

test('only the group itself is removed, never another one under its key', () => {
  const registry = new Registry<Registered>(10, 1)
  const [old, fresh] = [group('a.test'), group('a.test')]
  registry.add(old, 0)
  registry.replace(old, fresh)
  assert.equal(registry.remove(old), false)
  assert.equal(registry.peek(fresh.target.key), fresh)
})

test('among those that came equally often the victim is the least recently used idle group in the scope', () => {
  const registry = new Registry<Registered>(10, 1)
  const any = { samePattern: false, withContext: false }
  const busy = group('busy.test', 'busy.test', { idle: false })
  const failed = group('failed.test', 'failed.test', { holdsContext: false })
  const wild = group('w.wild.test', '*.wild.test')
  const last = group('last.test')
  const newcomer = group('newcomer.test', 'newcomer.test', { idle: false })
  for (const added of [busy, failed, wild, last, newcomer]) registry.add(added, 0)
  assert.equal(registry.victim(any, ''), failed)
  assert.equal(registry.victim({ ...any, withContext: true }, ''), wild)
  assert.equal(registry.victim({ ...any, samePattern: true }, '*.wild.test'), wild)
  assert.equal(registry.victim({ ...any, samePattern: true }, '*.other.test'), undefined)
  assert.equal(registry.victim({ ...any, withContext: true }, '', wild), last)
})

test('a use makes a group the most recent one', () => {
  const registry = new Registry<Registered>(4, 1)
  for (const host of ['a', 'b', 'c']) registry.add(group(host), 0)
  registry.add(group('newcomer', 'newcomer', { idle: false }), 0)
  registry.use(':a', 1)
  assert.equal(registry.victim({ samePattern: false, withContext: false }, '')?.target.label, 'b')
})

test('nobody waits past the deadline, and no timer is left behind', async () => {
  const clock = new FakeClock()
  const queue = new WaitQueue(clock)
  let left = 0
  const add = (): Promise<Lease> => queue.add(100, () => new Error('too late'), () => left++, undefined)
  const [first, second] = [add(), add()]
  const lease = {} as Lease
  queue.grant(lease)
  assert.equal(await first, lease)
  const late = assert.rejects(second, /too late/)
  await clock.pass(100)
  await late
  assert.deepEqual([queue.size, left, clock.timers], [0, 1, 0])
})
