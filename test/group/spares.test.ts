import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subscribe } from '../../src/events.ts'
import { settle } from './fake-clock.ts'
import { codeOf, House, targetOf } from './house.ts'
import { ProcessHouse } from './process-house.ts'

const SITE = targetOf('a.test')

/** A house with its first spares booted. */
async function houseWith(options: ConstructorParameters<typeof House>[0]): Promise<House> {
  const house = new House(options)
  house.groups.start()
  await bootAll(house)
  return house
}

async function bootAll(house: House): Promise<void> {
  for (let round = 0; round < 5; round++) {
    await house.clock.pass(100)
    for (const spare of house.spares) spare.boot()
  }
}

test('a start takes a spare context, and another one follows it when the start is over', async () => {
  const house = await houseWith({ spares: 1 })
  assert.equal(house.groups.stats().spares, 1)
  const asked = house.groups.acquire(SITE)
  assert.equal(house.last, house.spares[0]?.context)
  await house.clock.pass(1000)
  assert.equal(house.spares.length, 1, 'none starts beside a start')
  house.last.becomeReady()
  ;(await asked).release(true)
  await bootAll(house)
  const { spares, fromSpares, births } = house.groups.stats()
  assert.deepEqual([spares, fromSpares, births, house.contexts.length], [1, 1, 1, 1])
})

test('a spare context that still boots is taken as well: it is ahead of a new thread', async () => {
  const house = new House({ spares: 1 })
  house.groups.start()
  await house.clock.pass(100)
  assert.equal(house.groups.stats().spares, 0)
  void house.groups.acquire(SITE)
  assert.deepEqual([house.spares[0]?.state, house.groups.stats().fromSpares], ['taken', 1])
})

test('several spares are started one after the other', async () => {
  const house = new House({ spares: 3 })
  house.groups.start()
  await house.clock.pass(1000)
  assert.equal(house.spares.length, 1)
  house.spares[0]?.boot()
  await house.clock.pass(1000)
  assert.equal(house.spares.length, 2)
  await bootAll(house)
  assert.deepEqual([house.spares.length, house.groups.stats().spares], [3, 3])
})

for (const [what, target] of [
  ["Node's permission model", { ...SITE, tenant: { ...SITE.tenant, permission: { read: [], write: [] } } }],
  ['a variable that Node reads when a thread starts', targetOf('a.test', { env: { NODE_PATH: '/lib' } })],
] as const) {
  test(`a tenant with ${what} gets a thread of its own`, async () => {
    const house = await houseWith({ spares: 1 })
    await house.visit(target)
    assert.deepEqual([house.spares[0]?.state, house.groups.stats().fromSpares], ['spare', 0])
  })
}

test('NODE_ENV is no such variable', async () => {
  const house = await houseWith({ spares: 1 })
  await house.visit(targetOf('a.test', { env: { NODE_ENV: 'production', PATH: '/bin' } }))
  assert.equal(house.groups.stats().fromSpares, 1)
})

test('spares and contexts together never hold more threads than maxContexts, and a start that needs the place gets it', async () => {
  const house = await houseWith({ spares: 2, maxContexts: 3, maxGroups: 3 })
  assert.equal(house.spareThreads.length, 2)
  for (const spare of house.spares) spare.lingers = true
  await house.visit(targetOf('own.test', { env: { NODE_DEBUG: 'net' } }))
  assert.equal(house.alive.length + house.spareThreads.length, 3)
  void house.groups.acquire(targetOf('next.test', { env: { NODE_DEBUG: 'net' } }))
  await settle()
  assert.deepEqual(house.spares.map(({ state }) => state), ['spare', 'ending'])
  assert.deepEqual([house.alive.length, house.groups.stats().pending], [1, 1], 'it waits for the thread')
  house.spares[1]?.exit()
  await settle()
  assert.deepEqual([house.alive.length, house.groups.stats().pending], [2, 0])
  house.last.becomeReady()
  await bootAll(house)
  assert.equal(house.alive.length + house.spareThreads.length, 3, 'none takes the last place')
  void house.groups.acquire(targetOf('last.test'))
  await settle()
  assert.deepEqual([house.alive.length, house.spareThreads.length], [3, 0], 'but one that is there becomes the context')
  await bootAll(house)
  assert.equal(house.spareThreads.length, 0)
})

test('an evicted group gives its place to a start and not to a spare', async () => {
  const house = await houseWith({ spares: 1, maxContexts: 2, maxGroups: 2 })
  await house.visit(targetOf('a.test'))
  await house.visit(targetOf('b.test'))
  await bootAll(house)
  assert.deepEqual([house.alive.length, house.spareThreads.length], [2, 0])
  await house.visit(targetOf('c.test'))
  assert.deepEqual([house.alive.length, house.spareThreads.length], [2, 0])
})

test('a spare that dies is followed by another, ever later', async () => {
  const house = new House({ spares: 1, random: () => 1 })
  house.groups.start()
  const births: number[] = []
  for (let at = 0; at < 40_000; at += 100) {
    await house.clock.pass(100)
    for (const spare of house.spareThreads) {
      births.push(at)
      spare.boot()
      spare.exit()
    }
  }
  assert.ok(births.length >= 5 && births.length <= 7, `${births.length} spares in 40 s`)
})

test('where no thread can be started, a spare is tried ever later, and it is said once', async (t) => {
  const house = new House({ spares: 1, random: () => 1 })
  const warnings: string[] = []
  t.after(subscribe('tenantry:warning', ({ message }) => warnings.push(message)))
  house.refusal = new Error('no thread')
  house.groups.start()
  await house.clock.pass(100_000)
  assert.deepEqual(warnings, ['No context could be kept spare: no thread'])
  house.refusal = undefined
  await house.clock.pass(60_000)
  assert.equal(house.spareThreads.length, 1)
})

test('over maxMemory spares go first, and do not come back at once', async () => {
  let resident = 1000
  const house = await houseWith({ spares: 1, maxMemory: 1000, residentMemory: () => resident })
  await house.visit(targetOf('a.test'))
  await bootAll(house)
  resident = 1001
  await house.clock.pass(500)
  assert.deepEqual([house.spareThreads.length, house.state('a.test')], [0, 'serving'])
  resident = 900
  await house.clock.pass(30_000)
  assert.equal(house.spareThreads.length, 0)
  await house.clock.pass(60_000)
  assert.equal(house.spareThreads.length, 1)
})

test('a house that closes ends its spares at once and waits for them', async () => {
  const house = await houseWith({ spares: 2 })
  for (const spare of house.spares) spare.lingers = true
  let closed = false
  const closing = house.groups.close().then((count) => {
    closed = true
    return count
  })
  assert.deepEqual(house.spares.map(({ reason }) => reason), ['shutdown', 'shutdown'])
  await settle()
  assert.equal(closed, false)
  for (const spare of house.spares) spare.exit()
  assert.deepEqual(await closing, { ended: 0, terminated: 0, zombies: 0 }, 'no context of anybody was ended')
  assert.equal(house.clock.timers, 0)
})

test('a house that closes before its first spare starts none', async () => {
  const house = new House({ spares: 1 })
  house.groups.start()
  await house.groups.close()
  await house.clock.pass(1000)
  assert.equal(house.spares.length, 0)
})

test('spares do not make a house refuse: admission does not count them', async () => {
  const house = await houseWith({ spares: 2, maxContexts: 2, maxGroups: 2 })
  await house.visit(targetOf('a.test'))
  await house.visit(targetOf('b.test'))
  assert.equal(await codeOf(() => house.visit(targetOf('a.test'))), undefined)
  assert.deepEqual(house.groups.stats().refusals, {})
  assert.deepEqual(house.groups.stats().evictions, {})
})

test('a daemon keeps its own spares, and no daemon is started for one', async () => {
  const house = new ProcessHouse({ processes: 2, spares: 1 })
  await house.clock.pass(1000)
  assert.equal(house.daemons.length, 0)
  await house.visit(SITE)
  await house.clock.pass(1000)
  assert.deepEqual(house.daemons.map(({ spares }) => spares.length), [1])
  house.daemon(1).die()
  await house.clock.pass(1000)
  assert.equal(house.daemons.length, 1)
})
