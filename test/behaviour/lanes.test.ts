import { test } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { subscribe } from '../../src/events.ts'
import { ask, askJson, eventually, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { RuntimeOptions } from '../../src/options.ts'
import type { House } from './house.ts'

const skip = openDescriptors() === undefined && 'nothing here can give a descriptor away'

const POOL = { processGroup: 'pool', processGroups: { pool: {} } } as const

/** Where contexts run. */
const TIERS: Readonly<Record<string, Partial<RuntimeOptions>>> = { 'a thread': {}, 'a thread of a daemon': POOL }

const APP = `
let requests = 0
export default (req, res) => {
  if (req.url === '/crash') setImmediate(() => { throw new Error('on purpose') })
  else if (req.url === '/wait') res.write('begun')
  else if (req.url === '/slow') setTimeout(() => res.end('slow'), 300)
  else res.end(JSON.stringify({ requests: ++requests, peer: req.socket.remoteAddress, port: req.socket.remotePort }))
}
`

const get = (path: string, host = 'a.test'): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`

async function handedHouse(t: TestContext, tenants: Record<string, string>, options: Partial<RuntimeOptions>): Promise<House> {
  return await openHouse(t, tenants, { lane: 'handoff', ...options })
}

for (const [tier, options] of Object.entries(TIERS)) {
  test(`${tier}: a connection moves, its requests are served in their order, and stats count them`, { skip }, async (t) => {
    const { port, runtime } = await handedHouse(t, { 'a.test': APP }, options)
    const wire = await Wire.open(t, port)
    wire.send(get('/1'))
    await wire.until('"requests":1')
    wire.send(get('/2').repeat(3))
    await wire.until('"requests":4')
    assert.match(wire.text, new RegExp(`"peer":"127.0.0.1","port":${wire.socket.localPort}`))
    const group = (): ReturnType<typeof runtime.stats>['list'][number] | undefined => {
      const { list, processGroups } = runtime.stats()
      return [...list, ...processGroups.flatMap(({ processes }) => processes.flatMap((each) => each.list))][0]
    }
    await eventually('it is counted', () => group()?.served === 4)
    assert.deepEqual(group()?.handed, { total: 1, connections: 1, inFlight: 0, served: 4 })
    assert.equal(runtime.stats().lanes.handoff, 1)
    wire.socket.destroy()
    await eventually('it is gone', () => group()?.handed.connections === 0)
  })

  test(`${tier}: when a context dies its connections break off, unfinished, and the next one is served`, { skip }, async (t) => {
    const { port, runtime } = await handedHouse(t, { 'a.test': APP, 'b.test': COUNTING }, options)
    await Promise.all([askJson(port, 'a.test'), askJson(port, 'b.test')])
    const waiting = await Wire.open(t, port)
    waiting.send(get('/wait'))
    await waiting.until('begun')
    await assert.rejects(ask(port, 'a.test', '/crash'))
    await waiting.rest()
    assert.doesNotMatch(waiting.text, /\r\n0\r\n/)
    assert.equal((await ask(port, 'b.test')).status, 200)
    // Until the front has heard of it, a request may come to the one that is ending.
    await eventually('it is served anew', async () => await ask(port, 'a.test').then(({ status }) => status === 200, () => false))
    assert.ok(runtime.stats().lanes.handoff >= 5)
  })

  test(`${tier}: a request for another host is 421 and ends the connection; its peer takes the relay from then on`, { skip }, async (t) => {
    const { port, runtime, log } = await handedHouse(t, { 'a.test': APP, 'b.test': APP }, options)
    const wire = await Wire.open(t, port)
    wire.send(get('/'))
    await wire.until('"requests":1')
    wire.send(get('/', 'b.test'))
    await wire.rest()
    assert.match(wire.text, /HTTP\/1\.1 421 Misdirected Request\r\n/)
    await eventually('it is told', () => log.some((line) => line['code'] === 'ERR_MISDIRECTED'))
    const second = await Wire.open(t, port)
    for (const host of ['a.test', 'b.test', 'a.test']) second.send(get('/', host))
    await eventually('both hosts are served', () => second.text.split('"requests"').length === 4)
    assert.deepEqual(runtime.stats().lanes.relay, { misdirected: 1 })
  })

  test(`${tier}: close() finishes what is in flight, closes what is idle, and ends`, { skip }, async (t) => {
    const { port, runtime } = await handedHouse(t, { 'a.test': APP }, { ...options, drainTimeout: 10_000 })
    const [idle, busy] = [await Wire.open(t, port), await Wire.open(t, port)]
    idle.send(get('/'))
    await idle.until('"requests":1')
    busy.send(get('/slow'))
    await new Promise((resolve) => { setTimeout(resolve, 100) })
    const { terminated, zombies } = await runtime.close()
    await Promise.all([idle.rest(), busy.rest()])
    assert.deepEqual([terminated, zombies], [0, 0])
    assert.match(busy.text, /Connection: close\r\n[^]*slow$/)
  })

  test(`${tier}: a reload loses no request on connections that are kept alive`, { skip }, async (t) => {
    const { port, runtime } = await handedHouse(t, { 'a.test': APP }, options)
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    t.after(() => agent.destroy())
    let done = false
    const clients = Array.from({ length: 4 }, async () => {
      let answers = 0
      while (!done) {
        // A connection that closes between two requests is the client's to open again, as behind node:http.
        const status = await ask(port, 'a.test', '/', { agent }).then((answer) => answer.status, (error: unknown) => (error as NodeJS.ErrnoException).code)
        if (status !== 200) assert.equal(status, 'ECONNRESET')
        answers++
      }
      return answers
    })
    await ask(port, 'a.test')
    for (let round = 0; round < 3; round++) await runtime.reload(`a.test:${port}`)
    done = true
    const answers = await Promise.all(clients)
    assert.ok(answers.every((count) => count > 0))
  })
}

test('a group that is used on connections of its own alone is not ended for idleness, and one that is not, is', { skip }, async (t) => {
  const { port, runtime } = await handedHouse(t, { 'a.test': APP, 'b.test': APP }, { idleTimeout: 1500 })
  const [busy, idle] = [await Wire.open(t, port), await Wire.open(t, port)]
  busy.send(get('/'))
  idle.send(get('/', 'b.test'))
  await Promise.all([busy.until('"requests":1'), idle.until('"requests":1')])
  const asking = setInterval(() => busy.send(get('/')), 200)
  t.after(() => clearInterval(asking))
  await eventually('the idle one ends', () => runtime.stats().list.length === 1)
  assert.deepEqual(runtime.stats().list.map(({ pattern }) => pattern), ['a.test'])
  await idle.rest()
})

test('a group with a request on such a connection is never evicted', { skip }, async (t) => {
  const { port } = await handedHouse(t, { 'a.test': APP, 'b.test': APP }, { maxContexts: 1, maxGroups: 1, maxGroupsPerPattern: 1 })
  const wire = await Wire.open(t, port)
  wire.send(get('/wait'))
  await wire.until('begun')
  const { status } = await ask(port, 'b.test')
  assert.equal(status, 503)
  wire.socket.destroy()
  await eventually('there is room', async () => (await ask(port, 'b.test')).status === 200)
})

for (const [what, options, starts] of [
  ['starts while the rest of it comes', {}, true],
  ['does not where an access hook is to be asked first', { access: () => true }, false],
  ['does not on the relay', { lane: 'relay' }, false],
] as const) {
  test(`the group of a begun head ${what}, and serves the request`, { skip }, async (t) => {
    const { port, runtime } = await openHouse(t, { 'a.test': APP, 'b.test': APP }, { spares: 0, ...options })
    const wire = await Wire.open(t, port)
    wire.send(get('/').slice(0, -2))
    if (starts) await eventually('its context is there', () => runtime.stats().contexts.serving === 1)
    // Somebody else's request is over before the rest comes.
    await ask(port, 'b.test')
    assert.deepEqual([runtime.stats().births, runtime.stats().warmed], starts ? [2, 1] : [1, 0])
    wire.send('\r\n')
    await wire.until('"requests":1')
    assert.equal(runtime.stats().births, 2)
  })
}

test('maxConnections holds for all servers of a runtime together, and for a burst', { skip }, async (t) => {
  const { port, runtime } = await handedHouse(t, { 'a.test': APP }, { maxConnections: 3 })
  const other = (await runtime.listen()).address() as AddressInfo
  // One after the other, all in one turn of the server's loop, half of them to the one and half to the other.
  const wires = await Promise.all(Array.from({ length: 12 }, (_, index) => Wire.open(t, index % 2 === 0 ? port : other.port)))
  for (const wire of wires) wire.send(get('/wait'))
  await eventually('nine are refused', () => wires.filter(({ ended }) => ended).length === 9)
  await Promise.all(wires.filter(({ ended }) => !ended).map((wire) => wire.until('begun')))
  assert.equal(wires.filter(({ ended }) => ended).length, 9)
})

test('maxConnections counts connections that were handed over', { skip }, async (t) => {
  const refused: string[] = []
  t.after(subscribe('tenantry:admission:refuse', ({ code }) => refused.push(code)))
  const { port } = await handedHouse(t, { 'a.test': APP }, { maxConnections: 2 })
  const wires = [await Wire.open(t, port), await Wire.open(t, port)]
  for (const [index, wire] of wires.entries()) {
    wire.send(get('/'))
    await wire.until(`"requests":${index + 1}`)
  }
  const third = await Wire.open(t, port)
  await third.rest()
  assert.deepEqual(refused, ['ERR_CONNECTION_LIMIT'])
  wires[0]?.socket.destroy()
  await eventually('there is room', async () => await ask(port, 'a.test').then(({ status }) => status === 200, () => false))
})
