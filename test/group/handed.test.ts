import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Handed } from '../../src/group/handed.ts'
import { Cell, Scoreboard } from '../../src/wire/scoreboard.ts'
import { settle } from './fake-clock.ts'
import { codeOf, House, targetOf } from './house.ts'
import type { OfferedConnection } from '../../src/context/context.ts'
import type { GroupsOptions } from '../../src/group/groups-options.ts'
import type { GroupTarget } from '../../src/group/lease.ts'
import type { FakeContext } from './fake-context.ts'

const SITE = targetOf('a.test')

/** A house in which a connection was handed to the context of `target`, and not opened yet. */
async function handed(target: GroupTarget, options: Partial<GroupsOptions> = {}): Promise<{ house: House; context: FakeContext }> {
  const house = new House(options)
  await house.visit(target)
  const context = house.last
  context.canHandOver = true
  await hand(house, target)
  return { house, context }
}

async function hand(house: House, target: GroupTarget): Promise<void> {
  const lease = await house.groups.acquire(target)
  assert.equal(lease.handOver({} as OfferedConnection), true)
}

/** The context opens the connection and begins its first request. */
function open({ scoreboard }: FakeContext): void {
  scoreboard.add(Cell.handedOpened, 1)
  scoreboard.add(Cell.handedConnections, 1)
  scoreboard.add(Cell.handedInFlight, 1)
}

function answer({ scoreboard }: FakeContext): void {
  scoreboard.add(Cell.handedInFlight, -1)
  scoreboard.add(Cell.handedServed, 1)
}

test('a lease that becomes a connection is returned, and the connection counts from then on', async () => {
  const { house, context } = await handed(SITE)
  const [group] = house.groups.stats().list
  assert.deepEqual(group?.handed, { total: 1, connections: 1, inFlight: 1, served: 0 }, 'on its way')
  open(context)
  assert.deepEqual(house.groups.stats().list[0]?.handed, { total: 1, connections: 1, inFlight: 1, served: 0 }, 'opened')
  answer(context)
  assert.deepEqual(house.groups.stats().list[0]?.handed, { total: 1, connections: 1, inFlight: 0, served: 1 }, 'answered')
  assert.deepEqual([house.groups.stats().inFlight, house.groups.handed.count()], [0, 1])
})

test('a group makes no room while a connection is on its way into it, or a request under way there', async () => {
  const { house, context } = await handed(SITE, { maxGroups: 1, maxContexts: 1 })
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('b.test'))), 'ERR_GROUP_LIMIT')
  open(context)
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('b.test'))), 'ERR_GROUP_LIMIT')
  answer(context)
  await house.visit(targetOf('b.test'))
  assert.deepEqual(house.groups.stats().evictions, { lru: 1 })
})

test('where what a context does is known late, it is asked for once before there is no room', async () => {
  let looks = 0
  let onLook = (): void => {}
  const look = (): Promise<void> => {
    looks++
    onLook()
    return Promise.resolve()
  }
  const { house, context } = await handed(SITE, { maxGroups: 1, maxContexts: 1, look })
  assert.equal(await codeOf(async () => await house.groups.acquire(targetOf('b.test'))), 'ERR_GROUP_LIMIT')
  assert.deepEqual([looks, house.groups.stats().refusals], [1, { ERR_GROUP_LIMIT: 1 }])
  onLook = () => {
    open(context)
    answer(context)
  }
  await house.visit(targetOf('b.test'))
  assert.deepEqual([looks, house.groups.stats().evictions, house.groups.stats().refusals], [2, { lru: 1 }, { ERR_GROUP_LIMIT: 1 }])
})

test('without connections that were handed over there is nothing to ask for', async () => {
  const house = new House({ maxGroups: 1, maxContexts: 1, look: () => assert.fail('asked') })
  const asked = house.groups.acquire(SITE)
  await settle()
  house.last.becomeReady()
  await asked
  assert.equal(await codeOf(() => house.groups.acquire(targetOf('b.test'))), 'ERR_GROUP_LIMIT')
})

test('what is served on such connections alone is use: it keeps a group from ending for idleness, until it stops', async () => {
  const { house, context } = await handed(targetOf('a.test', { groupLimits: { idleTimeout: 20_000 } }))
  open(context)
  answer(context)
  for (let round = 0; round < 6; round++) {
    context.scoreboard.add(Cell.handedServed, 1)
    await house.clock.pass(15_000)
  }
  assert.equal(house.state('a.test'), 'serving')
  await house.clock.pass(21_000)
  assert.deepEqual(house.groups.stats().ends, { inactivity: 1 })
})

test('a context that has served on such connections and dies is started again at once, one that has not is not', async () => {
  for (const [served, code] of [[1, undefined], [0, 'ERR_GROUP_BACKOFF']] as const) {
    const house = new House()
    const asked = house.groups.acquire(SITE)
    await settle()
    house.last.becomeReady()
    house.last.canHandOver = true
    assert.equal((await asked).handOver({} as OfferedConnection), true)
    open(house.last)
    house.last.scoreboard.add(Cell.handedServed, served)
    house.last.crash()
    await settle()
    const again = codeOf(() => house.groups.acquire(SITE))
    await settle()
    if (code === undefined) house.last.becomeReady()
    assert.equal(await again, code)
  }
})

test('a connection counts as open until its thread is gone, whatever has become of its group', async () => {
  for (const end of ['drains', 'is ended', 'becomes a zombie'] as const) {
    const { house, context } = await handed(SITE)
    open(context)
    const count = (): number => house.groups.handed.count()
    context.stubborn = true
    context.lingers = end === 'is ended'
    context.immortal = end === 'becomes a zombie'
    house.groups.retire('a.test')
    if (end !== 'drains') void context.terminate('admin')
    await settle()
    await house.clock.pass(1000)
    assert.equal(count(), 1, end)
    if (end === 'becomes a zombie') context.rest()
    else context.exit()
    assert.equal(count(), 0, end)
    await house.clock.pass(1000)
  }
})

test('a connection that a context opens while it is counted is never missed', () => {
  // As a context that opens one between any two reads of the front.
  for (const at of [1, 2, 3, 4]) {
    const board = new Scoreboard()
    let reads = 0
    const handed = new Handed({
      snapshot: () => board.snapshot(),
      read(cell) {
        const value = board.read(cell)
        if (++reads === at) {
          board.add(Cell.handedConnections, 1)
          board.add(Cell.handedOpened, 1)
        }
        return value
      },
    })
    handed.give()
    assert.ok(handed.open >= 1, `after read ${at}`)
  }
})

test('whatever a tenant writes to its scoreboard, counts are numbers that are not negative', async () => {
  const { house, context } = await handed(SITE)
  for (const nonsense of [NaN, -1, Infinity, -Infinity]) {
    for (const cell of [Cell.handedOpened, Cell.handedConnections, Cell.handedInFlight, Cell.handedServed, Cell.handedQueued]) {
      context.scoreboard.write(cell, nonsense)
    }
    const { inFlight, queued, list } = house.groups.stats()
    for (const count of [inFlight, queued, ...Object.values(list[0]?.handed ?? {})]) assert.ok(count >= 0 && count < 10, `${nonsense}`)
    await house.clock.pass(1000)
    assert.ok(house.groups.handed.inFlight >= 0)
  }
})
