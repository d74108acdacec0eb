import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'

const HOLDING = `
let requests = 0
export default (req, res) => {
  requests++
  if (req.url === '/hold') res.write('held')
  else res.end(JSON.stringify({ requests }))
}
`

function tenants(...hosts: string[]): Record<string, string> {
  return Object.fromEntries(hosts.map((host) => [host, HOLDING]))
}

test('when there is no room, the idle group that is worth least goes, and its next request starts anew', async (t) => {
  const { port, runtime } = await openHouse(t, tenants('a.test', 'b.test', 'c.test'), { lane: 'relay', maxContexts: 3, maxGroups: 2, maxGroupsPerPattern: 2 })
  for (let round = 0; round < 5; round++) await askJson(port, 'a.test')
  await askJson(port, 'b.test')
  await askJson(port, 'c.test')
  assert.deepEqual(runtime.stats().evictions, { lru: 1 })
  assert.equal((await askJson(port, 'a.test'))['requests'], 6, 'the one in use stayed')
  assert.equal((await askJson(port, 'b.test'))['requests'], 1, 'the evicted one began again')
})

test('a leased group is never evicted: who needs room waits for nobody and hears 503', async (t) => {
  const { port, runtime } = await openHouse(t, tenants('a.test', 'b.test', 'c.test'), { maxContexts: 2, maxGroups: 2, maxGroupsPerPattern: 2 })
  const held = [await Wire.open(t, port), await Wire.open(t, port)]
  for (const [index, wire] of held.entries()) {
    wire.send(`GET /hold HTTP/1.1\r\nHost: ${'ab'[index] as string}.test\r\n\r\n`)
    await wire.until('held')
  }
  for (let round = 0; round < 10; round++) {
    const { status, headers } = await ask(port, 'c.test')
    assert.deepEqual([status, headers['retry-after'] !== undefined], [503, true])
  }
  assert.deepEqual(runtime.stats().evictions, {})
  held[0]?.socket.destroy()
  await eventually('its room is free', async () => (await ask(port, 'c.test')).status === 200)
  assert.equal((await askJson(port, 'b.test'))['requests'], 2, 'the other one is still held')
})

test('contexts never exceed maxContexts, whatever comes at once', async (t) => {
  const { port, runtime } = await openHouse(t, { '*.sites.test': COUNTING, 'named.test': COUNTING }, {
    maxContexts: 4, maxGroups: 4, maxGroupsPerPattern: 3, maxStarting: 2,
  })
  let most = 0
  const watch = setInterval(() => {
    const { starting, serving, draining, zombie } = runtime.stats().contexts
    most = Math.max(most, starting + serving + draining + zombie)
  }, 1)
  t.after(() => clearInterval(watch))
  const hosts = Array.from({ length: 60 }, (_, index) => `h${index % 20}.sites.test`)
  const answers = await Promise.all(hosts.map((host) => ask(port, host)))
  assert.ok(most >= 3 && most <= 4, `${most} contexts at once`)
  assert.deepEqual([...new Set(answers.map(({ status }) => status))].filter((status) => status !== 200 && status !== 503), [])
  assert.equal((await ask(port, 'named.test')).status, 200)
})

test('one-off visitors under a wildcard do not evict the named tenants', async (t) => {
  const { port, runtime } = await openHouse(t, { '*.sites.test': COUNTING, 'a.test': COUNTING, 'b.test': COUNTING }, {
    lane: 'relay',
    maxContexts: 7, maxGroups: 4, maxGroupsPerPattern: 3, maxStarts: 1000,
  })
  for (let round = 1; round <= 4; round++) for (const host of ['a.test', 'b.test']) await askJson(port, host)
  let served = 0
  for (let index = 0; index < 40; index++) if ((await ask(port, `once${index}.sites.test`)).status === 200) served++
  assert.equal(served, 40)
  for (const host of ['a.test', 'b.test']) assert.equal((await askJson(port, host))['requests'], 5, `${host} was never evicted`)
  assert.ok(runtime.stats().births >= 42)
})

test('an idle group ends after idleTimeout, and no thread of it is left', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': COUNTING }, { idleTimeout: 300 })
  await askJson(port, 'a.test')
  await eventually('it ended', () => runtime.stats().list.length === 0 && runtime.stats().contexts.draining === 0)
  assert.deepEqual(runtime.stats().evictions, { inactivity: 1 })
  assert.equal((await askJson(port, 'a.test'))['requests'], 1)
})

test('a context is replaced after maxRequests and maxAge, and no request is lost by it', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': COUNTING }, { maxRequests: 25, maxAge: 2000 })
  const seen: number[] = []
  for (let round = 0; round < 40; round++) {
    const answers = await Promise.all([1, 2, 3].map(() => ask(port, 'a.test')))
    for (const { status, text } of answers) {
      assert.equal(status, 200, text)
      seen.push((JSON.parse(text) as { requests: number }).requests)
    }
  }
  assert.ok(Math.max(...seen) <= 25, `one context served ${Math.max(...seen)}`)
  assert.ok(seen.filter((count) => count === 1).length >= 4)
  assert.ok((runtime.stats().evictions.requests ?? 0) >= 4)
})

test('evict() lets what is in flight finish, and says whether there was anything', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': `
    export default (req, res) => { res.write('begun '); setTimeout(() => res.end('finished'), 200) }
  ` })
  const wire = await Wire.open(t, port)
  wire.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
  await wire.until('begun')
  assert.equal(await runtime.evict(`a.test:${port}`), true)
  assert.match(await wire.rest(), /finished\r\n0\r\n\r\n$/)
  assert.equal(await runtime.evict(`a.test:${port}`), false)
  assert.equal(await runtime.evict('never.test'), false)
  assert.deepEqual(runtime.stats().list, [])
})
