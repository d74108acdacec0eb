import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settle } from './fake-clock.ts'
import { codeOf, House, targetOf } from './house.ts'
import { ProcessHouse } from './process-house.ts'

const SITE = targetOf('a.test')

test('a group that was started on evidence serves the request that comes, from the same context', async () => {
  const house = new House()
  assert.equal(house.groups.warm(SITE), true)
  assert.equal(house.groups.warm(SITE), false, 'once')
  await settle()
  const asked = house.groups.acquire(SITE)
  house.last.becomeReady()
  const lease = await asked
  assert.equal(house.contexts.length, 1)
  assert.deepEqual([lease.context.id, house.groups.stats().warmed], [1, 1])
  lease.release(true)
})

test('nobody waits for a start on evidence, and unused it ends as any idle group does', async () => {
  const house = new House()
  const target = targetOf('a.test', { groupLimits: { idleTimeout: 20_000 } })
  house.groups.warm(target)
  await settle()
  house.last.becomeReady()
  await settle()
  assert.deepEqual([house.groups.stats().queued, house.state('a.test')], [0, 'serving'])
  await house.clock.pass(21_000)
  assert.equal(house.state('a.test'), undefined)
  assert.deepEqual(house.groups.stats().ends, { inactivity: 1 })
})

test('evidence evicts nobody: a full house starts with the request itself', async () => {
  const house = new House({ maxGroups: 1, maxContexts: 1 })
  await house.visit(targetOf('idle.test'))
  assert.equal(house.groups.warm(SITE), false)
  assert.equal(house.state('idle.test'), 'serving')
  assert.deepEqual(house.groups.stats().refusals, {}, 'nobody was refused')
  await house.visit(SITE)
})

test('starts on evidence wait for maxStarting, and pay for themselves out of maxStarts', async () => {
  const house = new House({ maxStarting: 1, maxStarts: 4 })
  const started = ['a', 'b', 'c', 'd', 'e'].map((name) => house.groups.warm(targetOf(`${name}.test`)))
  assert.deepEqual(started, [true, true, true, true, false])
  await settle()
  assert.deepEqual([house.contexts.length, house.groups.stats().pending], [1, 3])
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('e.test'))), 'ERR_START_RATE')
})

test('of a wildcard no more groups start on evidence than maxGroupsPerPattern', () => {
  const house = new House({ maxGroupsPerPattern: 2 })
  const started = ['a', 'b', 'c'].map((name) => house.groups.warm(targetOf(`${name}.wild.test`, { pattern: '*.wild.test' })))
  assert.deepEqual(started, [true, true, false])
})

test('a start on evidence that fails backs off, and evidence does not start it again', async () => {
  const house = new House()
  house.groups.warm(SITE)
  await settle()
  house.last.failStart()
  await settle()
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_BACKOFF')
  await house.clock.pass(60_000)
  assert.equal(house.groups.warm(SITE), false)
  assert.equal(house.contexts.length, 1)
  await house.visit(SITE)
})

test('a house that closes starts nothing on evidence', async () => {
  const house = new House()
  await house.groups.close()
  assert.equal(house.groups.warm(SITE), false)
  assert.equal(house.contexts.length, 0)
})

test('of several daemons the one that was warmed gets the request', async () => {
  const house = new ProcessHouse({ processes: 3, startAhead: true })
  house.group.start()
  await settle()
  await house.clock.pass(10)
  assert.equal(house.group.warm(SITE), true)
  await settle()
  const warmed = house.daemons.find(({ contexts }) => contexts.length > 0)
  await house.clock.pass(10)
  assert.equal(await house.visit(SITE), warmed?.pid)
  assert.equal(house.daemons.reduce((sum, { contexts }) => sum + contexts.length, 0), 1)
})
