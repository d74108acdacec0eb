import { test } from 'node:test'
import assert from 'node:assert/strict'
import { TenantryError } from '../../src/errors.ts'
import { Cell } from '../../src/wire/scoreboard.ts'
import { settle } from './fake-clock.ts'
import { codeOf, House, targetOf } from './house.ts'
import { ProcessHouse } from './process-house.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { OfferedConnection } from '../../src/context/context.ts'
import type { TargetOptions } from './house.ts'
import type { FakeContext } from './fake-context.ts'

const SITE = targetOf('a.test', { threads: 2 })

/** A group with as many contexts as it can have, all ready and idle, each of which has answered. */
async function grown(house: House, target: GroupTarget): Promise<FakeContext[]> {
  const before = house.contexts.length
  await house.visit(target)
  for (let count = 0; count < target.tenant.threads; count++) {
    house.contexts.forEach((context) => context.becomeReady())
    await settle()
  }
  const contexts = house.contexts.slice(before)
  const leases = contexts.map(() => house.groups.acquire(target) as Lease)
  leases.forEach((lease) => lease.release(true))
  return contexts
}

/** A group whose first context has answered, and whose second one starts. */
async function begun(house: House, target: GroupTarget): Promise<FakeContext> {
  const waiting = house.groups.acquire(target)
  await settle()
  const first = house.last
  first.becomeReady()
  ;(await waiting).release(true)
  await settle()
  return first
}

async function pair(house: House, options: TargetOptions = {}): Promise<[FakeContext, FakeContext, GroupTarget]> {
  const target = targetOf('a.test', { threads: 2, ...options })
  const [one, two] = await grown(house, target)
  assert.ok(one !== undefined && two !== undefined)
  return [one, two, target]
}

/** Contexts of the group in the table. */
function ids(house: House, host = 'a.test'): number[] {
  const group = house.groups.stats().list.find(({ label, segment }) => label === host && segment !== undefined)
  return group?.contexts.map(({ id }) => id) ?? []
}

test('a group serves from its first context on, and the others start one after another', async () => {
  const house = new House()
  const target = targetOf('a.test', { threads: 3 })
  const first = house.groups.acquire(target)
  await settle()
  assert.equal(house.contexts.length, 1)
  house.contexts[0]?.becomeReady()
  ;(await first).release(true)
  assert.equal(house.contexts.length, 2)
  assert.equal((house.groups.acquire(target) as Lease).context.id, 1, 'who asks does not wait for the second')
  house.contexts[1]?.becomeReady()
  await settle()
  assert.equal(house.contexts.length, 3)
  house.contexts[2]?.becomeReady()
  await settle()
  assert.deepEqual(ids(house), [1, 2, 3])
  assert.equal(house.groups.stats().births, 3)
})

test('the context with the least to do gets the request, and idle ones get it in turns', async () => {
  const house = new House()
  const [one, two, target] = await pair(house)
  const turns = Array.from({ length: 6 }, () => {
    const lease = house.groups.acquire(target) as Lease
    lease.release(true)
    return lease.context.id
  })
  assert.deepEqual(turns, [2, 1, 2, 1, 2, 1])
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  held.find(({ context }) => context === two)?.release(true)
  assert.equal((house.groups.acquire(target) as Lease).context, two)
  assert.equal(house.groups.stats().list[0]?.inFlight, 2)
  assert.deepEqual(house.groups.stats().list[0]?.contexts.map(({ inFlight }) => inFlight), [1, 1])
  assert.equal(one.gone || two.gone, false)
})

test('of equals the context that knows the client gets its request, and one with less to do comes before it', async () => {
  const house = new House()
  const [one, two, target] = await pair(house)
  const ask = (home: FakeContext): Lease => house.groups.acquire(target, { onWait: () => {}, home: home.channel }) as Lease
  for (const home of [one, one, two, two]) {
    const lease = ask(home)
    assert.equal(lease.context, home)
    lease.release(true)
  }
  assert.deepEqual([ask(two).context, ask(two).context], [two, one])
})

test('handed connections count: first what they ask for, then how many there are', async () => {
  const house = new House()
  const [one, two, target] = await pair(house)
  const next = (): FakeContext => {
    const lease = house.groups.acquire(target) as Lease
    lease.release(true)
    return lease.context as FakeContext
  }
  one.scoreboard.write(Cell.handedConnections, 1)
  assert.deepEqual([next(), next()], [two, two])
  two.scoreboard.write(Cell.handedConnections, 3)
  assert.deepEqual([next(), next()], [one, one])
  one.scoreboard.write(Cell.handedInFlight, 1)
  assert.deepEqual([next(), next()], [two, two])
})

test('a context that says it has more connections than it was given is not believed where they are counted for all', async () => {
  const house = new House()
  const [one, , target] = await pair(house)
  one.scoreboard.write(Cell.handedConnections, 1e9)
  assert.equal(house.groups.handed.count(), 0)
  one.canHandOver = true
  const lease = house.groups.acquire(target) as Lease
  const other = house.groups.acquire(target) as Lease
  const given = lease.context === one ? lease : other
  assert.equal(given.handOver({} as OfferedConnection), true)
  assert.equal(house.groups.handed.count(), 1)
})

test('connections move into a context only when the others are there to share them', async () => {
  const house = new House()
  const connection = {} as OfferedConnection
  const first = await begun(house, SITE)
  first.canHandOver = true
  const early = house.groups.acquire(SITE) as Lease
  assert.equal(early.handOver(connection), false)
  house.last.failStart()
  await settle()
  assert.equal(early.handOver(connection), true, 'no other one starts now')
  assert.equal(house.groups.stats().list[0]?.inFlight, 1, 'the connection brings a request')
  first.scoreboard.write(Cell.handedLost, 1)
  assert.equal(house.groups.stats().list[0]?.inFlight, 0, 'nobody will open one that was lost')
})

test('a context whose loop stands still gets no connection, and again when it turns', async () => {
  const house = new House()
  const target = targetOf('a.test')
  const context = await begun(house, target)
  context.canHandOver = true
  const give = (): boolean => {
    const lease = house.groups.acquire(target) as Lease
    if (lease.handOver({} as OfferedConnection)) return true
    lease.release(false)
    return false
  }
  const beat = async (value: number): Promise<void> => {
    context.scoreboard.write(Cell.heartbeat, value)
    await house.clock.pass(500)
  }
  await beat(1)
  assert.equal(give(), true)
  await house.clock.pass(1500)
  assert.equal(give(), true, 'a busy one may be late')
  await house.clock.pass(1000)
  assert.equal(give(), false)
  await beat(2)
  assert.equal(give(), true)
})

test('maxInFlight and maxQueue are of the group, however many contexts it has', async () => {
  const house = new House()
  const [, , target] = await pair(house, { groupLimits: { maxInFlight: 2, maxQueue: 1 } })
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  const waiting = house.groups.acquire(target)
  assert.ok(waiting instanceof Promise)
  assert.equal(await codeOf(() => house.groups.acquire(target)), 'ERR_QUEUE_FULL')
  held[1]?.release(true)
  assert.equal((await waiting).context, held[1]?.context, 'it gets the place that became free')
})

test('every context counts against maxContexts: a group serves with fewer, and gets the others when there is room', async () => {
  const house = new House({ maxContexts: 2 })
  const other = await house.lease(targetOf('b.test'))
  const target = targetOf('a.test', { threads: 2 })
  const first = await house.visit(target)
  await house.clock.pass(5000)
  assert.equal(house.contexts.length, 2)
  assert.equal((house.groups.acquire(target) as Lease).context, first)
  other.release(true)
  await house.groups.evict('b.test')
  await house.clock.pass(500)
  assert.equal(house.contexts.length, 3)
  house.last.becomeReady()
  await settle()
  assert.deepEqual(ids(house), [first.id, house.last.id])
})

test('further contexts leave a quarter of maxStarts to the first ones of groups', async () => {
  const house = new House({ maxStarts: 8 })
  const target = targetOf('a.test', { threads: 10 })
  await grown(house, target)
  assert.equal(ids(house).length, 6)
  await house.visit(targetOf('b.test'))
  await house.visit(targetOf('c.test'))
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('d.test'))), 'ERR_START_RATE')
})

test('an idle context of several makes room before a group has to go, and a busy one never does', async () => {
  const house = new House({ maxContexts: 3 })
  const small = await house.visit(targetOf('small.test'))
  const [one, two, target] = await pair(house)
  const held = house.groups.acquire(target) as Lease
  const idle = held.context === one ? two : one
  const newcomer = await house.lease(targetOf('new.test'))
  assert.deepEqual([idle.state, small.state, (held.context as FakeContext).state], ['exited', 'serving', 'serving'])
  assert.deepEqual(house.groups.stats().evictions, { lru: 1 })
  await house.visit(targetOf('newer.test'))
  assert.deepEqual([small.state, (held.context as FakeContext).state], ['exited', 'serving'], 'the last one is no spare one')
  held.release(true)
  newcomer.release(true)
})

test('of several busy contexts none makes room: an idle group goes, or the newcomer is refused', async () => {
  const house = new House({ maxContexts: 3 })
  const small = await house.visit(targetOf('small.test'))
  const [one, two, target] = await pair(house)
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  const newcomer = await house.lease(targetOf('new.test'))
  assert.deepEqual([one.state, two.state, small.state], ['serving', 'serving', 'exited'])
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('newer.test'))), 'ERR_GROUP_LIMIT')
  for (const lease of [...held, newcomer]) lease.release(true)
})

test('a victim frees the places of all its contexts', async () => {
  const house = new House({ maxContexts: 2, maxGroups: 1 })
  const [one, two] = await pair(house)
  await house.visit(targetOf('new.test'))
  assert.deepEqual([one.state, two.state], ['exited', 'exited'])
  assert.equal(house.state('a.test'), undefined)
})

test('one context crashes: the others go on, its place is filled at once, and who waited is served', async () => {
  const house = new House()
  const [one, two, target] = await pair(house, { groupLimits: { maxInFlight: 2 } })
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  const waiting = house.groups.acquire(target)
  one.crash()
  const late = await waiting
  assert.equal(late.context, two, 'the slot that the dead one had is free')
  assert.equal(house.state('a.test'), 'serving')
  await settle()
  assert.equal(house.contexts.length, 3)
  house.last.becomeReady()
  await settle()
  assert.deepEqual(ids(house), [two.id, house.last.id])
  for (const lease of [...held, late]) lease.release(false)
  assert.equal(house.groups.stats().inFlight, 0)
})

test('the last one that serves crashes while another one starts: requests wait for that one', async () => {
  const house = new House()
  const first = await begun(house, SITE)
  assert.equal(house.contexts.length, 2)
  first.crash()
  await settle()
  assert.equal(house.state('a.test'), 'starting')
  const waiting = house.groups.acquire(SITE)
  assert.equal(house.contexts.length, 2)
  house.contexts[1]?.becomeReady()
  assert.equal((await waiting).context.id, 2)
})

test('further contexts that cannot start are tried again after the back-off, and cost nobody anything', async () => {
  const house = new House()
  await begun(house, SITE)
  const births: number[] = []
  for (const seconds of [1, 2, 4]) {
    house.last.failStart()
    await settle()
    assert.equal(house.state('a.test'), 'serving')
    await house.clock.pass(seconds * 500)
    births.push(house.contexts.length)
    ;(house.groups.acquire(SITE) as Lease).release(true)
    await house.clock.pass(seconds * 500)
  }
  assert.deepEqual(births, [2, 3, 4])
  house.last.becomeReady()
  await settle()
  const leases = [house.groups.acquire(SITE) as Lease, house.groups.acquire(SITE) as Lease]
  leases.forEach((lease) => lease.release(true))
  assert.equal(house.groups.stats().list[0]?.failures, 0)
})

test('what an older context serves on connections of its own does not end the back-off of one that cannot start', async () => {
  const house = new House()
  const first = await begun(house, SITE)
  house.last.failStart()
  await settle()
  first.scoreboard.write(Cell.handedServed, 5)
  await house.clock.pass(500)
  assert.deepEqual([house.groups.stats().list[0]?.failures, house.contexts.length], [1, 2])
})

test('a thread that cannot be made leaves the group with those that it has', async () => {
  const house = new House()
  const target = targetOf('a.test', { threads: 3 })
  await begun(house, target)
  house.refusal = new TenantryError('ERR_START_FAILED', 'no thread')
  house.contexts[1]?.becomeReady()
  await settle()
  assert.deepEqual([house.state('a.test'), ids(house)], ['serving', [1, 2]])
  house.refusal = undefined
  await house.clock.pass(1500)
  assert.deepEqual(ids(house), [1, 2, 3])
})

test('a context that is worn out drains beside the others, and another one takes its place', async () => {
  const house = new House()
  const [one, two, target] = await pair(house, { contextLimits: { maxRequests: 10 } })
  const held: Lease[] = []
  while (house.contexts.length < 3) held.push(house.groups.acquire(target) as Lease)
  const leaving = held.at(-1)?.context as FakeContext
  leaving.open()
  const staying = leaving === one ? two : one
  assert.equal(house.contexts.length, 3)
  assert.deepEqual(ids(house), [staying.id, 3])
  assert.equal((house.groups.acquire(target) as Lease).context, staying)
  await house.clock.pass(200)
  assert.deepEqual([leaving.state, leaving.terminations], ['draining', []])
  leaving.done()
  for (const lease of held) lease.release(true)
  await settle()
  assert.deepEqual([leaving.state, leaving.terminations], ['exited', []])
  assert.deepEqual(house.groups.stats().ends, { requests: 1 })
})

test('of contexts that are worn out together one goes after the other: the last stays until the next one serves', async () => {
  const house = new House()
  const [one, two, target] = await pair(house, { contextLimits: { memoryLimit: 1000 } })
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  for (const context of [one, two]) {
    context.open()
    context.scoreboard.write(Cell.heapUsed, 1100)
  }
  await house.clock.pass(1000)
  assert.deepEqual([one.state, two.state, house.state('a.test')], ['draining', 'serving', 'serving'])
  assert.deepEqual(ids(house), [2, 3])
  house.last.becomeReady()
  await house.clock.pass(1000)
  assert.deepEqual([one.state, two.state, ids(house)], ['draining', 'draining', [3, 4]])
  assert.deepEqual([one.terminations, two.terminations], [[], []])
  held.forEach((lease) => lease.release(true))
})

test('nobody asks: all contexts of the group end together, and none is started in the place of any', async () => {
  const house = new House()
  const [one, two] = await pair(house, { groupLimits: { idleTimeout: 60_000 } })
  await house.clock.pass(61_000)
  assert.deepEqual([one.gone, two.gone, house.contexts.length], [true, true, 2])
  assert.deepEqual(house.groups.stats().ends, { inactivity: 2 })
  assert.equal(house.state('a.test'), undefined)
})

test('contexts that get old while nobody asks for them are not replaced', async () => {
  const house = new House()
  const [one, two] = await pair(house, { contextLimits: { maxAge: 100_000 } })
  await house.clock.pass(101_000)
  assert.deepEqual([one.gone, two.gone, house.contexts.length], [true, true, 2])
})

test('one that hangs is ended, and the other goes on', async () => {
  const house = new House()
  const [one, two, target] = await pair(house, { contextLimits: { deadlockTimeout: 2000 } })
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  for (let beat = 1; beat <= 4; beat++) {
    two.scoreboard.write(Cell.heartbeat, beat)
    await house.clock.pass(1000)
  }
  assert.deepEqual([one.terminations, two.terminations], [['deadlock'], []])
  assert.equal(house.state('a.test'), 'serving')
  held.forEach((lease) => lease.release(false))
  assert.equal(house.groups.stats().inFlight, 0)
})

test('one that ends itself while nobody asks is replaced, and only after the back-off if it had answered nothing', async () => {
  const house = new House()
  const [one] = await pair(house)
  one.exit()
  await settle()
  assert.equal(house.contexts.length, 3)
  house.last.becomeReady()
  await settle()
  house.last.exit()
  await house.clock.pass(500)
  assert.equal(house.contexts.length, 3)
  await house.clock.pass(1000)
  assert.equal(house.contexts.length, 4)
})

test('a reload serves with the old contexts until the new ones are there, and then drains them all', async () => {
  const house = new House()
  const [one, two, target] = await pair(house)
  const held = house.groups.acquire(target) as Lease
  ;(held.context as FakeContext).open()
  let done = false
  const reloaded = house.groups.reload('a.test').then(() => { done = true })
  await settle()
  house.last.becomeReady()
  await settle()
  // Connections that move on when the old ones drain are to find all of the new ones.
  assert.deepEqual([house.contexts.length, done, ids(house)], [4, false, [1, 2]])
  house.last.becomeReady()
  await reloaded
  await house.clock.pass(200)
  assert.deepEqual([one.state, two.state].toSorted(), ['draining', 'exited'])
  assert.deepEqual(ids(house), [3, 4])
  ;(held.context as FakeContext).done()
  held.release(true)
  await settle()
  assert.deepEqual([one.state, two.state], ['exited', 'exited'])
})

test('a reload goes on with fewer contexts where a further one cannot start', async () => {
  const house = new House()
  await pair(house)
  const reloaded = house.groups.reload('a.test')
  await settle()
  house.last.becomeReady()
  await settle()
  house.last.failStart()
  assert.equal(await reloaded, true)
  assert.deepEqual(ids(house), [3])
})

test('a group that fills maxContexts by itself can be reloaded: one of its contexts makes room', async () => {
  const house = new House({ maxContexts: 2 })
  const [one, two, target] = await pair(house)
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  for (const context of [one, two]) context.open()
  const reloaded = house.groups.reload('a.test')
  await house.clock.pass(200)
  assert.equal(house.contexts.length, 2, 'it waits for the place')
  const [gone, kept] = one.drains > 0 ? [one, two] : [two, one]
  for (const context of [one, two]) context.done()
  held.forEach((lease) => lease.release(true))
  await settle()
  assert.deepEqual([gone.state, kept.state, house.contexts.length], ['exited', 'serving', 3])
  house.last.becomeReady()
  assert.equal(await reloaded, true)
})

test('evict and close wait for every context', async () => {
  const house = new House()
  const [one, two] = await pair(house)
  two.stubborn = true
  let done = false
  const evicted = house.groups.evict('a.test').then(() => { done = true })
  await house.clock.pass(1000)
  assert.deepEqual([one.state, two.state, done], ['exited', 'draining', false])
  two.exit()
  await evicted
  await pair(house)
  assert.deepEqual(await house.groups.close(), { ended: 2, terminated: 0, zombies: 0 })
  assert.equal(house.clock.timers, 0)
})

test('when a draining group loses one of its contexts, who waits gets a slot in the other', async () => {
  const house = new House()
  const [one, , target] = await pair(house, { groupLimits: { maxInFlight: 2 } })
  const held = [house.groups.acquire(target) as Lease, house.groups.acquire(target) as Lease]
  const waiting = house.groups.acquire(target)
  house.groups.retire('a.test')
  one.crash()
  const late = await waiting
  assert.notEqual(late.context, one)
  for (const lease of [...held, late]) lease.release(false)
  await house.clock.pass(200)
  assert.deepEqual(house.groups.stats().list, [])
})

test('each daemon has so many contexts of its own', async () => {
  const house = new ProcessHouse({ processes: 2 })
  const leases = [await house.lease(SITE), await house.lease(SITE), await house.lease(SITE), await house.lease(SITE)]
  assert.deepEqual(house.daemons.map(({ contexts }) => contexts.length), [2, 2])
  assert.equal(new Set(leases.map(({ context }) => context)).size, 4)
})

test('%{GLOBAL} of a process group has the main thread of its daemon and no other one', async () => {
  const house = new ProcessHouse()
  await house.visit({ ...targetOf('main.test', { threads: 4 }), label: '' })
  await house.clock.pass(1000)
  assert.equal(house.daemon(1).contexts.length, 1)
})

test('a daemon that dies takes all contexts of a group along, and who waits is served by those of the next one', async () => {
  const house = new ProcessHouse()
  const target = targetOf('a.test', { threads: 2, groupLimits: { maxInFlight: 2 } })
  await house.visit(target)
  const held = [await house.lease(target), await house.lease(target)]
  assert.equal(new Set(held.map(({ context }) => context)).size, 2)
  const waiting = house.group.acquire(target)
  house.daemon(1).die()
  const late = await waiting
  assert.equal(house.pidOf(late), 2)
  for (const lease of [...held, late]) lease.release(false)
})
