import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { ask, askJson, eventually } from './client.ts'
import { openHouse, writeTenant } from './house.ts'
import type { TestContext } from 'node:test'
import type { Runtime } from '../../src/runtime.ts'
import type { GroupStats } from '../../src/group/group-stats.ts'
import type { RuntimeOptions } from '../../src/options.ts'

/** Says which thread answers, and what this very context has counted. */
const APP = `
import { existsSync, writeFileSync } from 'node:fs'
import { threadId } from 'node:worker_threads'
const go = new URL('go', import.meta.url)
let requests = 0
export default (req, res) => {
  requests++
  const answer = () => res.end(JSON.stringify({ threadId, requests }))
  if (req.url === '/exit') process.exit(1)
  if (req.url === '/spin') { const patience = Date.now() + 10_000; while (!existsSync(go) && Date.now() < patience); }
  if (req.url === '/go') writeFileSync(go, '')
  if (req.url === '/hold') {
    const looking = setInterval(() => { if (existsSync(go)) { clearInterval(looking); answer() } }, 10)
  } else answer()
}
`

const TWO = { 'index.mjs': APP, 'tenant.json': '{"threads":2}' }

function groupOf(runtime: Runtime): GroupStats | undefined {
  const { list, processGroups } = runtime.stats()
  return [...list, ...processGroups.flatMap(({ processes }) => processes.flatMap((process) => process.list))]
    .find(({ segment }) => segment !== undefined)
}

/** A tenant with two threads, both of which serve. Over the relay, the server counts every request itself. */
async function openPair(t: TestContext, options: Omit<RuntimeOptions, 'tenants' | 'logger'> = {}) {
  const house = await openHouse(t, { 'a.test': TWO }, { lane: 'relay', ...options })
  await ask(house.port, 'a.test')
  await bothServe(house.runtime)
  return house
}

async function bothServe(runtime: Runtime): Promise<void> {
  await eventually('both contexts serve', () => groupOf(runtime)?.contexts.filter(({ state }) => state === 'serving').length === 2)
}

for (const [tier, options] of [
  ['threads of the server itself', {}],
  ['threads of a daemon', { processGroup: 'pool', processGroups: { pool: {} } }],
] as const) {
  test(`${tier}: two contexts share the requests of one tenant, and each has memory of its own`, async (t) => {
    const { port, runtime, folder } = await openPair(t, options)
    const holding = Array.from({ length: 8 }, () => askJson(port, 'a.test', '/hold'))
    await eventually('all are in flight', () => groupOf(runtime)?.inFlight === 8)
    assert.deepEqual(groupOf(runtime)?.contexts.map(({ inFlight }) => inFlight), [4, 4])
    await writeTenant(folder, 'a.test', { go: '' })
    const answers = await Promise.all(holding)
    const byThread = new Map<unknown, number[]>()
    for (const { threadId, requests } of answers) byThread.set(threadId, [...byThread.get(threadId) ?? [], Number(requests)])
    assert.deepEqual([...byThread.values()].map(({ length }) => length), [4, 4])
    // One of them had the first request of all.
    assert.deepEqual([...byThread.values()].map((counts) => Math.max(...counts)).toSorted((a, b) => a - b), [4, 5])
    // A daemon says twice a second how its contexts are.
    await eventually('stats() says the same', () => {
      const served = groupOf(runtime)?.contexts.map((context) => context.served) ?? []
      return Math.min(...served) === 4 && Math.max(...served) === 5
    })
  })

  test(`${tier}: while one context computes, the other answers`, async (t) => {
    const { port, runtime } = await openPair(t, options)
    const spinning = ask(port, 'a.test', '/spin')
    await eventually('it computes', () => groupOf(runtime)?.inFlight === 1)
    // Behind the computation in one thread, what ends it would never be read.
    assert.equal((await ask(port, 'a.test', '/go')).status, 200)
    assert.equal((await spinning).status, 200)
  })

  test(`${tier}: one context exits, the other goes on, and its place is filled`, async (t) => {
    const { port, runtime } = await openPair(t, { ...options, lane: 'relay' })
    const [before] = [groupOf(runtime)?.contexts.map(({ id }) => id) ?? []]
    const exit = await ask(port, 'a.test', '/exit')
    assert.equal(exit.status, 502)
    for (let count = 0; count < 4; count++) assert.equal((await ask(port, 'a.test')).status, 200)
    await bothServe(runtime)
    const after = groupOf(runtime)?.contexts.map(({ id }) => id) ?? []
    assert.equal(after.filter((id) => before.includes(id)).length, 1)
  })
}

test('requests of one connection stay in the context that knows it while that has no more to do than the other', async (t) => {
  const { port } = await openPair(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const threads = new Set<unknown>()
  for (let count = 0; count < 6; count++) threads.add((await askJson(port, 'a.test', '/', { agent }))['threadId'])
  assert.equal(threads.size, 1)
})

test('a reload replaces both contexts without a failed request', async (t) => {
  const { port, runtime, folder } = await openPair(t, { drainTimeout: '10s' })
  const before = groupOf(runtime)?.contexts.map(({ id }) => id) ?? []
  const held = Promise.all(Array.from({ length: 6 }, () => ask(port, 'a.test', '/hold')))
  await eventually('all are in flight', () => groupOf(runtime)?.inFlight === 6)
  assert.equal(await runtime.reload(`a.test:${port}`), true)
  await writeTenant(folder, 'a.test', { go: '' })
  assert.ok((await held).every(({ status }) => status === 200))
  await bothServe(runtime)
  assert.ok(groupOf(runtime)?.contexts.every(({ id }) => !before.includes(id)))
})

test('connections that are handed over are shared, and each stays where it is', async (t) => {
  const { port, runtime } = await openPair(t, { lane: 'auto' })
  const agents = Array.from({ length: 8 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  t.after(() => agents.forEach((agent) => agent.destroy()))
  const round = async (): Promise<unknown[]> => {
    const threads: unknown[] = []
    for (const agent of agents) threads.push((await askJson(port, 'a.test', '/', { agent }))['threadId'])
    return threads
  }
  const first = await round()
  // Roughly half of them each: what a context is at work on, the server reads a moment later.
  assert.equal(new Set(first).size, 2)
  const again = await round()
  if (runtime.stats().lanes.handoff >= agents.length) assert.deepEqual(again, first)
})
