import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subscribe } from '../../src/events.ts'
import { settle } from './fake-clock.ts'
import { codeOf, targetOf } from './house.ts'
import { ProcessHouse } from './process-house.ts'
import type { FakeContext } from './fake-context.ts'
import type { GroupTarget } from '../../src/group/lease.ts'

const A = targetOf('a.test')
const B = targetOf('b.test')
const MAIN: GroupTarget = { ...targetOf('main.test'), label: '' }

test('the first request starts the daemon, and the next ones find it', async () => {
  const house = new ProcessHouse()
  assert.deepEqual(house.states, ['- absent'])
  assert.deepEqual([await house.visit(A), await house.visit(B), await house.visit(A)], [1, 1, 1])
  assert.deepEqual(house.states, ['1 serving'])
})

test('daemons that are to start ahead are there before anybody asks', async () => {
  const house = new ProcessHouse({ startAhead: true, processes: 3 })
  house.group.start()
  await settle()
  assert.deepEqual(house.states, ['1 serving', '2 serving', '3 serving'])
})

test('the daemon with the least to do gets the request, and on ties the one used last', async () => {
  const house = new ProcessHouse({ processes: 3, startAhead: true })
  house.group.start()
  await settle()
  const first = await house.lease(A)
  await house.clock.pass(10)
  const second = await house.lease(A)
  assert.notEqual(house.pidOf(first), house.pidOf(second))
  first.release(true)
  await house.clock.pass(10)
  // Idle are the first and the third, which nobody has used yet.
  assert.equal(await house.visit(B), house.pidOf(first))
  second.release(true)
  await house.clock.pass(10)
  assert.equal(await house.visit(A), house.pidOf(first))
})

test('a request that was refused leaves no load behind', async () => {
  const house = new ProcessHouse({ processes: 2 })
  house.refusal = new Error('no process')
  assert.equal(await codeOf(() => house.group.acquire(A)), 'ERR_START_FAILED')
  house.refusal = undefined
  const leases = await Promise.all([house.lease(B), house.lease(B)])
  assert.equal(new Set(leases.map((lease) => house.pidOf(lease))).size, 2)
})

for (const [what, limits, wear] of [
  ['maxRequests', { maxRequests: 3 }, async (house: ProcessHouse) => { await house.visit(A); await house.visit(A) }],
  ['maxAge', { maxAge: 20_000 }, async (house: ProcessHouse) => { await house.clock.pass(20_000) }],
  ['cpuTimeLimit', { cpuTimeLimit: 1000 }, async (house: ProcessHouse) => { house.daemon(1).cpu = 1100; await house.clock.pass(10_000) }],
  ['memoryLimit', { memoryLimit: 1e8 }, async (house: ProcessHouse) => { house.daemon(1).resident = 1.1e8; await house.clock.pass(10_000) }],
] as const) {
  test(`past ${what} the new daemon comes first, with the groups in use, and the old one finishes what it has`, async () => {
    const house = new ProcessHouse(limits)
    const held = await house.lease(A)
    house.eager = false
    await wear(house)
    await house.clock.pass(600)
    assert.equal(house.daemons.length, 2)
    assert.equal(await house.visit(A), 1, 'the old one serves until the new one is ready')
    await house.clock.pass(3000)
    assert.equal(house.daemons.length, 2, 'one replacement at a time')
    house.daemon(2).serve()
    await settle()
    assert.equal(await house.visit(A), 1)
    const [context] = house.daemon(2).contexts as [FakeContext]
    assert.equal(context.spec.label, 'a.test', 'what is in use starts before it is asked for')
    context.becomeReady()
    await settle()
    assert.equal(await house.visit(A), 2)
    assert.deepEqual(house.states, ['2 serving', '1 leaving'])
    held.release(true)
    await house.clock.pass(1000)
    assert.deepEqual(house.states, ['2 serving'])
    assert.equal(house.daemon(1).state, 'exited')
  })
}

test('a daemon with more than maxZombies threads that cannot be ended is replaced', async () => {
  const house = new ProcessHouse({ maxZombies: 0 })
  const lease = await house.lease(A)
  const context = lease.context as FakeContext
  context.immortal = true
  void context.terminate('deadlock')
  lease.release(false)
  await house.clock.pass(1000)
  assert.equal(await house.visit(B), 2)
  assert.equal(house.daemon(1).reason, 'deadlock')
})

test('a quarter over its limit a daemon is killed, also one that leaves, and the next request starts another', async () => {
  const house = new ProcessHouse({ memoryLimit: 1e8, maxAge: 30_000 })
  await house.visit(A)
  house.daemon(1).resident = 1.3e8
  await house.clock.pass(600)
  assert.deepEqual([house.daemon(1).reason, house.daemons.length], ['memory', 1])
  assert.equal(await house.visit(A), 2)
  const held = await house.lease(A)
  ;(held.context as FakeContext).stubborn = true
  await house.clock.pass(30_600)
  assert.deepEqual(house.states, ['3 serving', '2 leaving'])
  house.daemon(2).resident = 1.3e8
  await house.clock.pass(600)
  assert.equal(house.daemon(2).reason, 'memory')
})

test('a limit below what a daemon begins with does not replace it again and again', async () => {
  const house = new ProcessHouse({ memoryLimit: 1e8 })
  house.group.start()
  await house.visit(A)
  for (let second = 0; second < 60; second++) {
    for (const daemon of house.daemons) daemon.resident = 1.1e8
    await house.clock.pass(1000)
  }
  assert.ok(house.daemons.length <= 7, `${house.daemons.length} daemons in a minute`)
})

/** Its daemons die as soon as they have answered once; how long each was waited for. */
async function keepsDying(house: ProcessHouse, times: number): Promise<number[]> {
  const waits: number[] = []
  for (let death = 0; death < times; death++) {
    const waiting = house.group.acquire(A)
    const before = house.clock.now()
    while (house.daemons.length === death) await house.clock.pass(100)
    waits.push(house.clock.now() - before)
    ;(await waiting).release(true)
    house.daemon(death + 1).die()
    await settle()
  }
  return waits
}

test('a daemon that keeps dying is started ever more slowly; one that lived long is forgiven', async () => {
  const house = new ProcessHouse()
  assert.deepEqual(await keepsDying(house, 6), [0, 0, 500, 1000, 2000, 4000])
  const late = house.group.acquire(A)
  await house.clock.pass(8000)
  ;(await late).release(true)
  await house.clock.pass(10_000)
  house.daemons.at(-1)?.die()
  await settle()
  assert.equal(await house.visit(A), house.daemons.length, 'at once')
})

test('those who wait for the next daemon are served by it, and no longer than queueTimeout', async () => {
  const house = new ProcessHouse()
  await keepsDying(house, 7)
  const early = codeOf(() => house.group.acquire(A))
  await house.clock.pass(7000)
  const late = house.group.acquire(B)
  await house.clock.pass(9000)
  assert.equal(await early, 'ERR_QUEUE_TIMEOUT')
  assert.equal(house.pidOf(await late), 8)
})

test('the counts of a daemon are its own: the one after a crash begins anew', async () => {
  const house = new ProcessHouse({ maxRequests: 4, maxAge: 10_000 })
  await house.clock.pass(60_000)
  await house.visit(A)
  await house.clock.pass(600)
  assert.equal(house.daemons.length, 1, 'the time without a daemon is not its age')
  await house.visit(A)
  await house.visit(A)
  house.daemon(1).die()
  await settle()
  await house.visit(A)
  await house.visit(A)
  await house.clock.pass(600)
  assert.equal(house.daemons.length, 2, 'the requests of the dead one do not count')
})

test('a daemon that nobody asks for ends; a long request is in use until its end', async () => {
  const house = new ProcessHouse({ idleTimeout: 5000 })
  const long = await house.lease(A)
  await house.clock.pass(20_000)
  long.release(true)
  await house.clock.pass(4000)
  assert.deepEqual(house.states, ['1 serving'])
  await house.clock.pass(2000)
  assert.deepEqual(house.states, ['- absent'])
  assert.equal(house.daemon(1).reason, 'inactivity')
  assert.equal(await house.visit(A), 2)
})

test('a daemon that dies while contexts start in it costs those who wait nothing but time', async () => {
  const house = new ProcessHouse()
  house.eager = false
  const waiting = [A, B, A].map(async (target) => await house.group.acquire(target))
  await settle()
  house.daemon(1).die()
  house.eager = true
  await house.clock.pass(0)
  await settle()
  assert.deepEqual((await Promise.all(waiting)).map((lease) => house.pidOf(lease)), [2, 2, 2])
})

test('a request goes round a daemon that keeps dying, where there is another', async () => {
  const house = new ProcessHouse({ processes: 2 })
  await keepsDying(house, 3)
  const waiting = house.group.acquire(A)
  await settle()
  assert.equal(house.pidOf(await waiting), 4, 'at once')
})

test('a replacement that cannot start leaves the old daemon in place, says so, and is not tried at once again', async (t) => {
  const warnings: string[] = []
  t.after(subscribe('tenantry:warning', ({ message }) => warnings.push(message)))
  const house = new ProcessHouse({ maxAge: 1000 })
  await house.visit(A)
  house.refusal = new Error('no process')
  await house.clock.pass(9000)
  assert.equal(await house.visit(A), 1)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] as string, /process group 'pool' could not be replaced.*no process/)
  house.refusal = undefined
  await house.clock.pass(11_000)
  assert.notEqual(await house.visit(A), 1)
})

test('%{GLOBAL} is reloaded by a new daemon; code that does not start leaves the old one', async () => {
  const house = new ProcessHouse()
  assert.equal(await house.visit(MAIN), 1)
  house.eager = false
  const broken = codeOf(() => house.group.reload(''))
  await settle()
  house.daemon(2).serve()
  await settle()
  house.daemon(2).contexts[0]?.failStart()
  assert.equal(await broken, 'ERR_START_FAILED')
  assert.equal(house.daemon(2).state, 'exited')
  assert.equal(await house.visit(MAIN), 1)
  house.eager = true
  assert.equal(await house.group.reload(''), true)
  assert.equal(await house.visit(MAIN), 3)
})

test('%{GLOBAL} in a daemon has no limits of its own that would end the whole daemon', async () => {
  const house = new ProcessHouse()
  const { tenant } = MAIN
  const strict: GroupTarget = { ...MAIN, tenant: { ...tenant, groupLimits: { ...tenant.groupLimits, idleTimeout: 1000 } } }
  await house.visit(strict)
  await house.clock.pass(5000)
  assert.deepEqual(house.states, ['1 serving'])
  assert.equal(await house.visit(strict), 1)
})

test('a reload that comes while a daemon is replaced reaches the new daemon', async () => {
  const house = new ProcessHouse({ maxAge: 20_000 })
  await house.visit(A)
  house.eager = false
  await house.clock.pass(20_600)
  house.daemon(2).serve()
  await settle()
  const changed = targetOf('a.test', { revision: '2' })
  const reloaded = house.group.reload('a.test', () => changed)
  await settle()
  house.daemon(2).contexts[0]?.becomeReady()
  await settle()
  house.eager = true
  house.daemon(2).contexts.at(-1)?.becomeReady()
  await settle()
  house.daemon(2).contexts.at(-1)?.becomeReady()
  assert.equal(await reloaded, true)
  assert.deepEqual(house.group.groups.flatMap((groups) => groups.targets()).map(({ tenant }) => tenant.revision), ['2'])
})

for (const how of ['close', 'destroy'] as const) {
  test(`${how} leaves no daemon and no timer, not even one that was just coming up`, async () => {
    const house = new ProcessHouse({ maxAge: 20_000, processes: 2, startAhead: true })
    house.group.start()
    await settle()
    await house.visit(A)
    house.eager = false
    await house.clock.pass(20_600)
    assert.ok(house.daemons.length > 2)
    if (how === 'close') await house.group.close(1000)
    else await house.group.destroy(new Error('over') as never)
    await settle()
    assert.deepEqual(house.daemons.map(({ state }) => state), house.daemons.map(() => 'exited'))
    await house.clock.pass(60_000)
    assert.equal(house.clock.timers, 0)
    assert.equal(await codeOf(() => house.group.acquire(A)), 'ERR_DRAINING')
  })
}

test('an application on the main thread that never comes up is told of, with its own back-off', async () => {
  const house = new ProcessHouse()
  house.eager = false
  const first = codeOf(() => house.group.acquire(MAIN))
  await settle()
  house.daemon(1).die('exit', 1)
  assert.equal(await first, 'ERR_DAEMON_EXITED')
  assert.equal(await codeOf(() => house.group.acquire(MAIN)), 'ERR_GROUP_BACKOFF')
  assert.equal(house.daemons.length, 1)
})
