import { Cell } from '../../src/wire/scoreboard.ts'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { TenantryError } from '../../src/errors.ts'
import { settle } from './fake-clock.ts'
import { codeOf, House, targetOf } from './house.ts'
import type { FakeContext } from './fake-context.ts'
import type { GroupTarget } from '../../src/group/lease.ts'

const SITE = targetOf('a.test')

test('a live group gives its lease at once, without a promise', async () => {
  const house = new House()
  const context = await house.visit(SITE)
  const lease = house.groups.acquire(SITE)
  assert.ok(!(lease instanceof Promise))
  assert.equal(lease.context, context)
  lease.release(true)
})

test('a hundred waiting requests share one context', async () => {
  const house = new House()
  const waiting = Array.from({ length: 100 }, () => Promise.resolve(house.groups.acquire(SITE)))
  await settle()
  assert.equal(house.contexts.length, 1)
  house.last.becomeReady()
  const leases = await Promise.all(waiting)
  assert.ok(leases.every(({ context }) => context === house.last))
  assert.equal(house.groups.stats().inFlight, 100)
})

test('a lease is given back once, however often it is released', async () => {
  const house = new House()
  const first = await house.lease(SITE)
  const second = await house.lease(SITE)
  first.release(true)
  first.release(true)
  assert.equal(house.groups.stats().inFlight, 1)
  second.release(true)
  assert.equal(house.groups.stats().inFlight, 0)
})

test('the least used idle group makes room, and a busy one never does', async () => {
  const house = new House({ maxGroups: 2, maxContexts: 2 })
  const lease = await house.lease(targetOf('busy.test'))
  const idle = await house.visit(targetOf('idle.test'))
  await house.visit(targetOf('new.test'))
  assert.equal(idle.state, 'exited')
  assert.equal(house.state('busy.test'), 'serving')
  const newcomer = await house.lease(targetOf('new.test'))
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('third.test'))), 'ERR_GROUP_LIMIT')
  assert.deepEqual(house.groups.stats().refusals, { ERR_GROUP_LIMIT: 1 })
  assert.deepEqual(house.groups.stats().evictions, { lru: 1 })
  lease.release(true)
  newcomer.release(true)
})

test('a new context waits until the evicted one is gone: draining counts', async () => {
  const house = new House({ maxGroups: 1, maxContexts: 1 })
  const old = await house.visit(targetOf('old.test'))
  old.stubborn = true
  const waiting = house.groups.acquire(targetOf('new.test'))
  await settle()
  assert.equal(old.drains, 1)
  assert.equal(house.contexts.length, 1)
  assert.equal(house.groups.stats().pending, 1)
  old.exit()
  await settle()
  assert.equal(house.contexts.length, 2)
  house.last.becomeReady()
  ;(await waiting).release(true)
})

test('a context that does not leave when it is drained is ended after drainTimeout', async () => {
  const house = new House({ maxGroups: 1, maxContexts: 1, drainTimeout: 3000 })
  const old = await house.visit(targetOf('old.test'))
  old.stubborn = true
  const waiting = house.groups.acquire(targetOf('new.test'))
  await house.clock.pass(2999)
  assert.deepEqual(old.terminations, [])
  await house.clock.pass(1)
  assert.deepEqual(old.terminations, ['lru'])
  house.last.becomeReady()
  ;(await waiting).release(true)
})

test('a wildcard stays within its cap by evicting its own, and leaves named hosts alone', async () => {
  const house = new House({ maxGroups: 5, maxContexts: 5, maxGroupsPerPattern: 2 })
  for (const host of ['x.test', 'y.test', 'z.test']) await house.visit(targetOf(host))
  for (let site = 0; site < 50; site++) await house.visit(targetOf(`s${site}.wild.test`, { pattern: '*.wild.test' }))
  for (const host of ['x.test', 'y.test', 'z.test']) assert.equal(house.state(host), 'serving')
  const { list } = house.groups.stats()
  assert.equal(list.filter(({ pattern }) => pattern === '*.wild.test').length, 2)
})

test('a wildcard whose groups are all busy is refused with its own code', async () => {
  const house = new House({ maxGroupsPerPattern: 1 })
  const lease = await house.lease(targetOf('one.wild.test', { pattern: '*.wild.test' }))
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('two.wild.test', { pattern: '*.wild.test' }))), 'ERR_PATTERN_LIMIT')
  lease.release(true)
})

test('no more start at once than maxStarting; the others wait in their queue', async () => {
  const house = new House({ maxStarting: 2 })
  const waiting = ['a', 'b', 'c', 'd'].map((host) => house.groups.acquire(targetOf(host)))
  await settle()
  assert.equal(house.contexts.length, 2)
  house.contexts[0]?.becomeReady()
  await settle()
  assert.equal(house.contexts.length, 3)
  house.contexts[1]?.failStart()
  assert.equal(await codeOf(() => waiting[1]), 'ERR_START_FAILED')
  assert.equal(house.contexts.length, 4)
  house.contexts.forEach((context) => context.becomeReady())
  for (const index of [0, 2, 3]) (await waiting[index])?.release(true)
})

test('no more are born in a minute than maxStarts, and the refusal says when to come back', async () => {
  const house = new House({ maxStarts: 2 })
  await house.visit(targetOf('a'))
  await house.visit(targetOf('b'))
  await assert.rejects(async () => await house.groups.acquire(targetOf('c')), { code: 'ERR_START_RATE', retryAfter: 30 })
  await house.clock.pass(30_000)
  await house.visit(targetOf('c'))
})

test('a request waits no longer than queueTimeout, and a start that nobody waits for does not happen', async () => {
  const house = new House({ maxStarting: 1, queueTimeout: 1500 })
  const first = house.groups.acquire(targetOf('slow.test'))
  const second = house.groups.acquire(targetOf('next.test'))
  const codes = Promise.all([codeOf(() => first), codeOf(() => second)])
  await house.clock.pass(1500)
  assert.deepEqual(await codes, ['ERR_QUEUE_TIMEOUT', 'ERR_QUEUE_TIMEOUT'])
  assert.deepEqual(house.groups.stats().refusals, { ERR_QUEUE_TIMEOUT: 2 })
  house.last.becomeReady()
  await settle()
  assert.equal(house.contexts.length, 1)
  assert.equal(house.state('next.test'), undefined)
})

test('a client that leaves takes its request out of the queue', async () => {
  const house = new House({ queueTimeout: 60_000 })
  const target = targetOf('a.test', { groupLimits: { maxInFlight: 1, maxQueue: 1 } })
  const lease = await house.lease(target)
  let cancel: (reason: Error) => void = () => assert.fail('onWait was not called')
  const waiting = house.groups.acquire(target, {
    onWait(given) {
      cancel = given
    },
  })
  assert.equal(await codeOf(() => house.groups.acquire(target)), 'ERR_QUEUE_FULL')
  const gone = new Error('the client left')
  cancel(gone)
  cancel(new Error('twice'))
  await assert.rejects(async () => await waiting, gone)
  assert.equal(house.groups.stats().queued, 0)
  lease.release(true)
})

test('a free slot goes to the one who waited longest', async () => {
  const house = new House()
  const target = targetOf('a.test', { groupLimits: { maxInFlight: 1 } })
  const lease = await house.lease(target)
  const order: number[] = []
  const waiting = [1, 2].map(async (number) => {
    const granted = await house.groups.acquire(target)
    order.push(number)
    granted.release(true)
  })
  await settle()
  lease.release(true)
  await Promise.all(waiting)
  assert.deepEqual(order, [1, 2])
})

test('a failed start tells all who wait, and the next start waits twice as long each time', async () => {
  const house = new House()
  const delays: number[] = []
  for (let round = 0; round < 4; round++) {
    const waiting = [house.groups.acquire(SITE), house.groups.acquire(SITE)].map((lease) => codeOf(() => lease))
    await settle()
    house.last.failStart()
    assert.deepEqual(await Promise.all(waiting), ['ERR_START_FAILED', 'ERR_START_FAILED'])
    assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_BACKOFF')
    let waited = 0
    while (house.groups.stats().list[0] !== undefined && (await codeOf(() => {
      const probe = house.groups.acquire(SITE, { onWait: (cancel) => cancel(new TenantryError('ERR_STATE', 'only asking')) })
      return probe
    })) === 'ERR_GROUP_BACKOFF') {
      await house.clock.pass(250)
      waited += 250
    }
    delays.push(waited)
    // The probe was abandoned before a thread was made.
    assert.equal(house.contexts.length, round + 1)
  }
  assert.deepEqual(delays, [750, 1500, 3000, 6000])
})

test('the first served request ends the back-off', async () => {
  const house = new House()
  const lease = await house.lease(SITE)
  house.last.crash()
  await settle()
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_BACKOFF')
  lease.release(true)
  const next = await house.lease(SITE)
  assert.equal(house.contexts.length, 2)
  next.release(true)
})

test('a crash after served requests starts anew at once, for those who wait too', async () => {
  const house = new House()
  const target = targetOf('a.test', { groupLimits: { maxInFlight: 1 } })
  await house.visit(target)
  const lease = await house.lease(target)
  const waiting = house.groups.acquire(target)
  house.last.crash()
  await settle()
  assert.equal(house.contexts.length, 2)
  house.last.becomeReady()
  const second = await waiting
  assert.equal(second.context, house.last)
  lease.release(false)
  assert.equal(house.groups.stats().inFlight, 1)
  second.release(true)
})

test('an application that exits while idle is closed quietly', async () => {
  const house = new House()
  const context = await house.visit(SITE)
  context.exit()
  await settle()
  assert.equal(house.state('a.test'), undefined)
  await house.visit(SITE)
  assert.equal(house.contexts.length, 2)
})

test('a thread that cannot be made is an error for the request, not for the house', async () => {
  const house = new House()
  house.refusal = new TenantryError('ERR_START_FAILED', 'no thread')
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_START_FAILED')
  house.refusal = undefined
  await house.clock.pass(1000)
  await house.visit(SITE)
  assert.equal(house.groups.stats().births, 1)
})

test('new code of a failed group is tried at once', async () => {
  const house = new House()
  const waiting = codeOf(() => house.groups.acquire(SITE))
  await settle()
  house.last.failStart()
  assert.equal(await waiting, 'ERR_START_FAILED')
  await house.visit(targetOf('a.test', { revision: '2' }))
  assert.equal(house.state('a.test'), 'serving')
})

test('the request that reaches maxRequests is served, and the next one has a new context', async () => {
  const house = new House()
  const target = targetOf('a.test', { contextLimits: { maxRequests: 2 } })
  await house.visit(target)
  const last = await house.lease(target)
  const old = last.context as FakeContext
  old.open()
  assert.equal(old.drains, 0)
  assert.equal(house.contexts.length, 2, 'the next context starts before anybody asks for it')
  const next = await house.lease(target)
  assert.notEqual(next.context, old)
  old.done()
  last.release(true)
  await settle()
  assert.equal(old.state, 'exited')
  assert.deepEqual(old.terminations, [])
  next.release(true)
})

test('a reload serves with the old context until the new one is ready', async () => {
  const house = new House()
  const old = await house.visit(SITE)
  const lease = await house.lease(SITE)
  old.open()
  const reloaded = house.groups.reload('a.test')
  const again = house.groups.reload('a.test')
  await settle()
  assert.equal(house.contexts.length, 2)
  assert.equal((await house.groups.acquire(SITE)).context, old)
  house.last.becomeReady()
  assert.deepEqual(await Promise.all([reloaded, again]), [true, true])
  assert.equal((await house.groups.acquire(SITE)).context, house.last)
  assert.equal(old.gone, false)
  lease.release(true)
})

test('a reload to another version follows the one that runs, so that the latest code serves when it resolves', async () => {
  const house = new House()
  const version = (revision: string): GroupTarget => targetOf('a.test', { revision })
  await house.visit(version('1'))
  const second = house.groups.reload('a.test', () => version('2'))
  const third = house.groups.reload('a.test', () => version('3'))
  await settle()
  house.last.becomeReady()
  await second
  await settle()
  house.last.becomeReady()
  await third
  assert.deepEqual(house.groups.targets().map(({ tenant }) => tenant.revision), ['3'])
  assert.equal(house.contexts.length, 3)
  await settle()
  assert.equal(house.alive.length, 1)
})

test('a reload follows one that fails', async () => {
  const house = new House()
  await house.visit(targetOf('a.test'))
  const broken = house.groups.reload('a.test', () => targetOf('a.test', { revision: 'broken' }))
  const mended = house.groups.reload('a.test', () => targetOf('a.test', { revision: 'mended' }))
  await settle()
  house.last.failStart('syntax error')
  await assert.rejects(broken, { code: 'ERR_START_FAILED' })
  await settle()
  house.last.becomeReady()
  assert.equal(await mended, true)
  assert.deepEqual(house.groups.targets().map(({ tenant }) => tenant.revision), ['mended'])
})

test('a reload that fails keeps the old context and says why', async () => {
  const house = new House()
  const old = await house.visit(SITE)
  const reloaded = house.groups.reload('a.test')
  await settle()
  house.last.failStart('syntax error')
  await assert.rejects(reloaded, { code: 'ERR_START_FAILED', message: 'syntax error' })
  assert.equal((await house.groups.acquire(SITE)).context, old)
  assert.equal(house.groups.stats().list.length, 1)
})

test('a reloaded group that crashes later fails as any other, and is not reloaded again', async () => {
  const house = new House()
  await house.visit(SITE)
  const reloaded = house.groups.reload('a.test')
  await settle()
  house.last.becomeReady()
  await reloaded
  house.last.crash()
  await settle()
  assert.equal(house.state('a.test'), 'failed')
})

test('evict waits for what is in flight, and tells whether there was such a group', async () => {
  const house = new House()
  const lease = await house.lease(SITE)
  const context = house.last
  context.open()
  let done = false
  const evicted = house.groups.evict('a.test').then((found) => {
    done = true
    return found
  })
  await house.clock.pass(1000)
  assert.equal(done, false)
  assert.equal(house.state('a.test'), undefined)
  context.done()
  lease.release(true)
  assert.equal(await evicted, true)
  assert.equal(await house.groups.evict('a.test'), false)
})

test('an admitted request reaches its context before the word that none will follow', async () => {
  const house = new House()
  const lease = await house.lease(SITE)
  house.groups.retire('a.test')
  await settle()
  assert.equal(house.last.drains, 0)
  house.last.open()
  await house.clock.pass(200)
  assert.equal(house.last.drains, 1)
  assert.equal(house.last.state, 'draining')
  house.last.done()
  lease.release(true)
})

test('a group that nobody used for idleTimeout ends', async () => {
  const house = new House()
  const context = await house.visit(targetOf('a.test', { groupLimits: { idleTimeout: 60_000 } }))
  await house.clock.pass(59_000)
  assert.equal(context.gone, false)
  await house.clock.pass(2000)
  assert.equal(context.gone, true)
  assert.deepEqual(house.groups.stats().evictions, { inactivity: 1 })
})

test('a context over its memory limit is replaced softly, and far over it at once', async () => {
  const house = new House()
  const target = targetOf('a.test', { contextLimits: { memoryLimit: 1000 } })
  const lease = await house.lease(target)
  const soft = house.last
  soft.open()
  soft.scoreboard.write(Cell.heapUsed, 1100)
  await house.clock.pass(1000)
  assert.deepEqual(soft.terminations, [])
  assert.deepEqual([house.state('a.test'), house.contexts.length], ['starting', 2])
  soft.scoreboard.write(Cell.external, 1100)
  await house.clock.pass(1000)
  assert.deepEqual(soft.terminations, ['memory'])
  assert.deepEqual(house.groups.stats().ends, { memory: 1 })
  lease.release(false)
  assert.deepEqual(house.groups.stats().list.map(({ state }) => state), ['starting'])
})

test('a context whose event loop stands still is ended, one that beats is not', async () => {
  const house = new House()
  const target = targetOf('a.test', { contextLimits: { deadlockTimeout: 2000 } })
  const lease = await house.lease(target)
  const context = house.last
  for (let beat = 1; beat <= 10; beat++) {
    context.scoreboard.write(Cell.heartbeat, beat)
    await house.clock.pass(1000)
  }
  assert.deepEqual(context.terminations, [])
  await house.clock.pass(3000)
  assert.deepEqual(context.terminations, ['deadlock'])
  assert.equal(house.state('a.test'), 'failed')
  lease.release(false)
})

test('a context over its CPU time is replaced softly, and a quarter over it at once', async () => {
  const house = new House()
  const lease = await house.lease(targetOf('a.test', { contextLimits: { cpuTimeLimit: 1000 } }))
  const context = house.last
  context.open()
  context.cpu = 999
  await house.clock.pass(1000)
  assert.equal(house.state('a.test'), 'serving')
  context.cpu = 1000
  await house.clock.pass(500)
  assert.deepEqual([house.state('a.test'), context.terminations], ['starting', []])
  context.cpu = 1250
  await house.clock.pass(500)
  assert.deepEqual(context.terminations, ['cpu'])
  assert.deepEqual(house.groups.stats().evictions, { cpu: 1 })
  assert.deepEqual(house.groups.stats().ends, { cpu: 1 })
  lease.release(false)
})

test('the replacement of a context that is in use starts at once, and who waited for the old one keeps his place', async () => {
  const house = new House({ queueTimeout: 60_000 })
  const target = targetOf('a.test', { contextLimits: { maxAge: 10_000 }, groupLimits: { maxInFlight: 1 } })
  const held = await house.lease(target)
  const old = house.last
  old.open()
  const waiting = house.groups.acquire(target)
  await house.clock.pass(10_500)
  assert.equal(house.contexts.length, 2)
  old.done()
  held.release(true)
  const second = await waiting
  assert.equal(second.context, old, 'it need not wait for a start')
  house.last.becomeReady()
  await settle()
  const third = house.groups.acquire(target)
  assert.ok(!(third instanceof Promise), 'the new one serves before the old one is gone')
  assert.equal(third.context, house.last)
  second.release(true)
  third.release(true)
  await house.clock.pass(200)
  assert.deepEqual([old.state, old.terminations], ['exited', []])
  assert.deepEqual(house.groups.stats().ends, { age: 1 })
})

test('nothing is started in the place of a context that nobody asked for within a minute', async () => {
  const house = new House()
  const asked = await house.visit(targetOf('a.test', { contextLimits: { maxAge: 100_000 } }))
  await house.clock.pass(101_000)
  assert.equal(asked.gone, true)
  assert.equal(house.contexts.length, 1)
})

test('a replacement takes nobody his place, and nothing when starts are too many', async () => {
  for (const caps of [{ maxContexts: 2, maxGroups: 2 }, { maxStarts: 2 }]) {
    const house = new House(caps)
    const neighbour = await house.visit(targetOf('b.test'))
    await house.lease(targetOf('a.test', { contextLimits: { maxRequests: 1 } }))
    await settle()
    assert.equal(neighbour.gone, false)
    assert.equal(house.contexts.length, 2)
  }
})

test('a replacement that cannot start is a failed group, with its back-off, and nobody else is told', async () => {
  const house = new House()
  const target = targetOf('a.test', { contextLimits: { maxRequests: 1 } })
  await house.visit(target)
  house.last.failStart()
  await settle()
  assert.equal(house.state('a.test'), 'failed')
  assert.equal(await codeOf(() => house.groups.acquire(target)), 'ERR_GROUP_BACKOFF')
})

test('a context that broke the protocol is leased to nobody from that moment, and who waited gets the next one', async () => {
  const house = new House()
  const target = targetOf('a.test', { groupLimits: { maxInFlight: 1 } })
  await house.visit(target)
  const held = await house.lease(target)
  const waiting = house.groups.acquire(target)
  const bad = house.last
  bad.lingers = true
  void bad.terminate('protocol', new TenantryError('ERR_PROTOCOL', 'nonsense'))
  held.release(true)
  assert.equal(bad.gone, false)
  await settle()
  assert.equal(house.contexts.length, 2)
  house.last.becomeReady()
  assert.equal((await waiting).context, house.last)
  bad.exit()
  await settle()
  assert.deepEqual(house.groups.stats().ends, { protocol: 1 })
})

test('when a context is ended, those who wait for a slot in it are not given to it', async () => {
  const house = new House()
  const target = targetOf('a.test', { contextLimits: { deadlockTimeout: 2000 }, groupLimits: { maxInFlight: 1 } })
  await house.visit(target)
  const held = await house.lease(target)
  const waiting = house.groups.acquire(target)
  // What the relay does when its context ends.
  house.last.onEnd = () => held.release(false)
  await house.clock.pass(3000)
  assert.equal(house.contexts.length, 2)
  house.last.becomeReady()
  assert.equal((await waiting).context, house.last)
})

test('every end is counted under its reason, whoever ended it', async () => {
  const house = new House()
  for (const [host, end] of [['exit', 'exit'], ['crash', 'crash']] as const) {
    const context = await house.visit(targetOf(host))
    context[end]()
  }
  await house.visit(targetOf('admin'))
  await house.groups.evict('admin')
  const broken = codeOf(() => house.groups.acquire(targetOf('broken')))
  await settle()
  house.last.failStart()
  await broken
  assert.deepEqual(house.groups.stats().ends, { exit: 1, crash: 1, admin: 1, startup: 1 })
})

test('what is counted and looked up never grows with the names that clients send', async () => {
  const house = new House({ maxGroups: 5, maxContexts: 6, maxGroupsPerPattern: 3, maxStarts: 50 })
  const size = (): number => JSON.stringify({ ...house.groups.stats(), births: 0, ends: 0, evictions: 0, refusals: 0 }).length
  const ask = async (from: number, count: number): Promise<void> => {
    for (let name = from; name < from + count; name++) {
      const target = targetOf(`h${String(name).padStart(6, '0')}.wild.test`, { pattern: '*.wild.test' })
      try {
        ;(await house.lease(target)).release(true)
      } catch {
        // Refused: the rate is used up.
      }
    }
  }
  await ask(0, 100)
  const before = size()
  await ask(100, 3000)
  const stats = house.groups.stats()
  assert.ok(size() <= before * 1.1, `${before} → ${size()} characters`)
  assert.deepEqual(Object.keys(stats.refusals), ['ERR_START_RATE'])
  assert.deepEqual(Object.keys(stats.ends), ['lru'])
  assert.equal(house.clock.timers, 1, 'only the supervisor waits for anything')
})

test('starts that hang hold the others for two seconds at most', async () => {
  const house = new House({ maxStarting: 2, queueTimeout: 60_000 })
  const waiting = ['hangs', 'hangs too', 'quick', 'quicker'].map((host) => house.groups.acquire(targetOf(host)))
  await house.clock.pass(1500)
  assert.equal(house.contexts.length, 2)
  await house.clock.pass(1000)
  assert.equal(house.contexts.length, 4)
  house.contexts[2]?.becomeReady()
  ;(await waiting[2])?.release(true)
  assert.equal(house.groups.stats().contexts.starting, 3)
})

test('old contexts are replaced around maxAge, some earlier than others', async () => {
  const house = new House({ random: () => 1 })
  const target = targetOf('a.test', { contextLimits: { maxAge: 100_000 } })
  const context = await house.visit(target)
  await house.clock.pass(89_000)
  assert.equal(context.gone, false)
  await house.clock.pass(2000)
  assert.equal(context.gone, true)
})

test('a zombie is counted and holds its place until its thread is gone', async () => {
  const house = new House({ maxContexts: 1, maxGroups: 1, drainTimeout: 0 })
  const zombie = await house.visit(SITE)
  zombie.immortal = true
  zombie.stubborn = true
  const evicted = house.groups.evict('a.test')
  await house.clock.pass(0)
  await evicted
  assert.equal(house.groups.stats().zombies, 1)
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_LIMIT')
  zombie.rest()
  await house.clock.pass(500)
  assert.equal(house.groups.stats().zombies, 0)
  await house.visit(SITE)
})

test('past maxZombies nothing is born and the house says that it is not ready; what lives is served', async () => {
  const house = new House({ maxZombies: 0, drainTimeout: 0 })
  const live = await house.visit(targetOf('live.test'))
  const zombie = await house.visit(SITE)
  zombie.immortal = true
  zombie.stubborn = true
  const evicted = house.groups.evict('a.test')
  await house.clock.pass(0)
  await evicted
  const { ready, reasons, zombies, zombieContexts } = house.groups.stats()
  assert.deepEqual({ ready, reasons, zombies, zombieContexts }, {
    ready: false, reasons: ['zombies'], zombies: 1, zombieContexts: [{ contextId: zombie.id, label: 'a.test' }],
  })
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_LIMIT')
  assert.equal(await codeOf(() => house.groups.reload('live.test')), 'ERR_GROUP_LIMIT')
  assert.equal((await house.lease(targetOf('live.test'))).context, live)
  zombie.rest()
  await house.clock.pass(500)
  assert.equal(house.groups.stats().ready, true)
  await house.visit(SITE)
})

test('over maxMemory idle groups end, the longest unused first, and nothing is born until it is below', async () => {
  let resident = 900
  const house = new House({ maxMemory: 1000, residentMemory: () => resident })
  const busy = await house.lease(targetOf('busy.test'))
  await house.visit(targetOf('old.test'))
  await house.clock.pass(1000)
  await house.visit(targetOf('young.test'))
  resident = 1001
  await house.clock.pass(500)
  assert.deepEqual([house.state('old.test'), house.state('young.test')], [undefined, 'serving'])
  assert.deepEqual(house.groups.stats().reasons, ['memory'])
  assert.equal(await codeOf(() => house.groups.acquire(SITE)), 'ERR_GROUP_LIMIT')
  await house.clock.pass(5000)
  assert.deepEqual([house.state('young.test'), house.state('busy.test')], [undefined, 'serving'])
  assert.deepEqual(house.groups.stats().evictions, { pressure: 2 })
  resident = 1000
  await house.clock.pass(500)
  assert.deepEqual(house.groups.stats().reasons, [])
  await house.visit(SITE)
  busy.release(true)
})

test('a house that drains is not ready', async () => {
  const house = new House()
  assert.equal(house.groups.stats().ready, true)
  await house.groups.close()
  assert.deepEqual(house.groups.stats().reasons, ['draining'])
})

test('close lets requests finish, refuses new ones, and reports what it had to end', async () => {
  const house = new House({ drainTimeout: 5000 })
  const [quick, stuck] = [await house.lease(targetOf('quick.test')), await house.lease(targetOf('stuck.test'))]
  for (const context of house.contexts) context.open()
  const starting = codeOf(() => house.groups.acquire(targetOf('starting.test')))
  await settle()
  const closed = house.groups.close()
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('quick.test'))), 'ERR_DRAINING')
  assert.equal(await starting, 'ERR_DRAINING')
  house.contexts[0]?.done()
  quick.release(true)
  await house.clock.pass(5000)
  assert.deepEqual(await closed, { ended: 3, terminated: 2, zombies: 0 })
  stuck.release(false)
  assert.equal(house.alive.length, 0)
  assert.equal(house.clock.timers, 0)
})

test('closing what never started is done at once', async () => {
  assert.deepEqual(await new House().groups.close(), { ended: 0, terminated: 0, zombies: 0 })
})

test('destroy ends everything at once and fails those who wait', async () => {
  const house = new House()
  await house.lease(SITE)
  const waiting = codeOf(() => house.groups.acquire(targetOf('b.test')))
  await settle()
  await house.groups.destroy()
  assert.equal(await waiting, 'ERR_CONTEXT_EXITED')
  assert.ok(house.contexts.every(({ gone, terminations }) => gone && terminations.length === 1))
  assert.equal(house.groups.stats().list.length, 0)
  assert.equal(house.clock.timers, 0)
})
