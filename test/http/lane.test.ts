import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { TenantryError } from '../../src/errors.ts'
import { subscribe } from '../../src/events.ts'
import { Raw } from '../hostile/raw.ts'
import { deferred, ENTRY, openLanes } from './lane-house.ts'
import type { Lease } from '../../src/group/lease.ts'
import type { LaneHouse } from './lane-house.ts'

const HEAD = 'GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n'

/** Until something is so; the test's own time limit is the bound. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => { setTimeout(resolve, 1) })
}

async function sent(house: LaneHouse, bytes: string): Promise<Raw> {
  const raw = await Raw.open(house.port)
  raw.send(bytes)
  return raw
}

test('a connection whose first bytes are one ordinary head moves, with these bytes and the host as it was written', async (t) => {
  const house = await openLanes(t)
  const raw = await sent(house, `POST / HTTP/1.1\r\nHost: A.Test:8080\r\nContent-Length: 3\r\n\r\nabc`)
  assert.ok(await raw.until('hand-of'))
  const [{ first, hosts } = {}] = house.groups.offered
  assert.match(Buffer.from(first ?? []).toString(), /^POST [^]*\r\n\r\nabc$/)
  assert.deepEqual(hosts, ['A.Test:8080'])
  assert.deepEqual(house.groups.released, [])
  assert.deepEqual([house.lanes.stats().handoff, house.lanes.stats().relay], [1, {}])
})

test('a connection that moves is an event', async (t) => {
  const seen: unknown[] = []
  t.after(subscribe('tenantry:connection:handoff', (payload) => seen.push(payload)))
  const house = await openLanes(t)
  assert.ok(await (await sent(house, HEAD)).until('hand-of'))
  assert.deepEqual(seen, [{ label: 'a', processGroup: '', contextId: 1 }])
})

test('what a client sends while its group starts comes along, none of it lost and all in order', async (t) => {
  const house = await openLanes(t)
  const { promise, resolve } = deferred()
  house.groups.onAcquire = () => promise
  // More than is kept, so that the stream and the kernel hold the rest.
  const body = Array.from({ length: 40_000 }, (_, index) => String(index).padStart(6, '0')).join('')
  const raw = await sent(house, `POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`)
  for (let at = 0; at < body.length; at += 10_000) raw.send(body.slice(at, at + 10_000))
  await new Promise((done) => { setTimeout(done, 50) })
  resolve(house.groups.lease())
  await until(() => house.groups.offered.length > 0)
  const text = Buffer.from(house.groups.offered[0]?.first ?? []).toString('latin1')
  const came = text.slice(text.indexOf('\r\n\r\n') + 4)
  assert.ok(body.startsWith(came))
  assert.ok(came.length > 0 && text.length < 300_000)
})

test('a begun head that says where it leads is evidence of a request; one that is odd, strange or of a proxy is none', async (t) => {
  const house = await openLanes(t, { tenants: { 'a.test': ENTRY, 'b.test': { entry: ENTRY, applicationGroup: () => 'any' } } })
  const begin = async (bytes: string): Promise<readonly string[]> => {
    const stays = house.lanes.stats().relay.head ?? 0
    const raw = await sent(house, bytes)
    await until(() => house.lanes.stats().relay.head === stays + 1)
    raw.socket.destroy()
    return house.groups.warmed.splice(0)
  }
  assert.deepEqual(await begin('GET /x HTTP/1.1\r\nHost: a.test\r\nCook'), ['a.test'])
  assert.deepEqual(await begin(`GET /x HTTP/1.1\r\nHost: a.test\r\nCookie: ${'x'.repeat(20_000)}`), ['a.test'])
  for (const odd of [
    'GET /x HTTP/1.1\r\nHost: a.test', 'GET /x HTTP/1.1\r\nAccept: x\r\n', 'GET /x HTTP/1.0\r\nHost: a.test\r\n', 'Host: a.test\r\n',
    'GET /x HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n', 'GET /x HTTP/1.1\r\nHost: a.test\r\nX : y\r\n', 'GET /x HTTP/1.1\r\nHost: a/b\r\n',
    'GET /x HTTP/1.1\r\nHost: c.test\r\n', 'GET /x HTTP/1.1\r\nHost: b.test\r\n', 'GET /x HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 x\r\n',
  ]) assert.deepEqual(await begin(odd), [], odd)
  // A whole one asks for a slot itself, or is served at once.
  assert.ok(await (await sent(house, HEAD)).until('hand-of'))
  assert.ok(await (await sent(house, HEAD.replace('1.1', '1.0'))).until('relayed'))
  assert.deepEqual(house.groups.warmed, [])
})

test('a head that comes in two pieces is served by the ordinary server, wherever it is cut', async (t) => {
  const house = await openLanes(t)
  const whole = 'POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc'
  const end = whole.indexOf('\r\n\r\n') + 4
  for (let at = 1; at < end; at += 3) {
    const raw = await sent(house, whole.slice(0, at))
    await new Promise((done) => { setTimeout(done, 5) })
    raw.send(whole.slice(at))
    assert.ok(await raw.until('relayed'), `cut at ${at}`)
    raw.leave()
  }
  assert.deepEqual([...new Set(house.relayed)], ['POST /x abc'])
  assert.deepEqual(Object.keys(house.lanes.stats().relay), ['head'])
})

test('requests that follow each other at once are all served, in their order, when the first one is not ordinary', async (t) => {
  const house = await openLanes(t)
  const raw = await sent(house, `GET http://a.test/1 HTTP/1.1\r\nHost: a.test\r\n\r\n${HEAD.repeat(3)}`)
  raw.send(HEAD.replace('/x', '/5'))
  await until(() => house.relayed.length === 5)
  assert.deepEqual(house.relayed, ['GET http://a.test/1', 'GET /x', 'GET /x', 'GET /x', 'GET /5'])
  raw.leave()
})

test('a connection that its context does not take is served by the relay, and its lease is returned', async (t) => {
  const house = await openLanes(t)
  house.groups.takes = false
  const raw = await sent(house, `${HEAD}${HEAD}`)
  await until(() => house.relayed.length === 2)
  assert.deepEqual(house.groups.released, [false])
  assert.deepEqual(house.lanes.stats().relay, { context: 1 })
  raw.leave()
})

for (const isClosed of [false, true]) {
  test(`a connection that comes back is ${isClosed ? 'closed by a server that no longer listens' : 'served by the relay, and not handed over again'}`, async (t) => {
    const house = await openLanes(t)
    let asked = 0
    const back: (() => void)[] = []
    house.groups.onAcquire = () => {
      asked++
      return {
        ...house.groups.lease(),
        handOver: ({ socket, first, onReturned }) => {
          socket.pause().unshift(first)
          back.push(() => onReturned?.(socket))
          return true
        },
      }
    }
    const raw = await sent(house, HEAD)
    await until(() => back.length === 1)
    assert.deepEqual([house.lanes.stats().handoff, house.lanes.stats().relay], [1, {}])
    if (isClosed) house.server.close()
    back[0]?.()
    if (isClosed) await raw.closed
    else assert.ok(await raw.until('relayed'))
    assert.deepEqual(house.relayed, isClosed ? [] : ['GET /x'])
    assert.deepEqual([asked, house.lanes.stats().handoff, house.lanes.stats().relay], [1, 0, isClosed ? {} : { context: 1 }])
    raw.leave()
  })
}

test('a refusal is decided once, at once or later, and the ordinary server answers it; the next request is decided anew', async (t) => {
  const house = await openLanes(t)
  const refusal = new TenantryError('ERR_GROUP_LIMIT', 'full')
  let [asked, expected] = [0, 0]
  for (const refuse of [(): never => { throw refusal }, async (): Promise<Lease> => await Promise.reject(refusal)]) {
    house.groups.onAcquire = () => {
      asked++
      return refuse()
    }
    const raw = await sent(house, `${HEAD}${HEAD}`)
    expected += 2
    await until(() => house.relayed.length === expected)
    raw.leave()
  }
  assert.deepEqual(house.relayed, ['ERR_GROUP_LIMIT', 'GET /x', 'ERR_GROUP_LIMIT', 'GET /x'])
  assert.deepEqual([asked, house.lanes.stats().relay], [2, { refused: 2 }])
})

test('a host that is not allowed, and one without a tenant, are refused by the ordinary server', async (t) => {
  const house = await openLanes(t)
  const raw = await sent(house, HEAD.replace('a.test', 'c.test'))
  await until(() => house.relayed.length === 1)
  assert.deepEqual(house.relayed, ['ERR_HOST_NOT_ALLOWED'])
  raw.leave()
})

for (const how of ['end', 'reset'] as const) {
  test(`a client that leaves while it waits gives its place up (${how})`, async (t) => {
    const house = await openLanes(t)
    const { promise, resolve, reject } = deferred()
    house.groups.onAcquire = () => promise
    house.groups.cancel = reject
    const raw = await sent(house, HEAD)
    await until(() => house.server.listening && raw.socket.bytesWritten > 0)
    await new Promise((done) => { setTimeout(done, 20) })
    raw.leave(how)
    await assert.rejects(promise, { code: 'ERR_CLIENT_GONE' })
    resolve(house.groups.lease())
    assert.deepEqual([house.relayed, house.groups.offered], [[], []])
  })
}

test('an upgrade whose client ends its half while it waits is handed over all the same, or closed where it is refused', async (t) => {
  for (const settle of ['resolve', 'reject'] as const) {
    const house = await openLanes(t)
    const { promise, resolve, reject } = deferred()
    house.groups.onAcquire = () => promise
    const raw = await sent(house, 'GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n')
    raw.socket.end()
    await new Promise((done) => { setTimeout(done, 20) })
    if (settle === 'resolve') resolve(house.groups.lease())
    else reject(new TenantryError('ERR_GROUP_LIMIT', 'full'))
    await raw.closed
    assert.equal(raw.text.includes('hand-of'), settle === 'resolve')
    assert.deepEqual(house.relayed, [])
  }
})

test('a lease that comes too late for its client is returned', async (t) => {
  const house = await openLanes(t)
  const { promise, resolve } = deferred()
  house.groups.onAcquire = () => promise
  const raw = await sent(house, HEAD)
  await new Promise((done) => { setTimeout(done, 20) })
  raw.leave()
  await until(() => house.groups.cancel === undefined)
  await new Promise((done) => { setTimeout(done, 20) })
  resolve(house.groups.lease())
  await until(() => house.groups.released.length === 1)
  assert.deepEqual([house.groups.released, house.groups.offered], [[false], []])
})

test('a connection that sends nothing is closed after headerTimeout; one that leaves before costs nobody anything', async (t) => {
  const house = await openLanes(t)
  const gone = await Raw.open(house.port)
  gone.leave('reset')
  const silent = await Raw.open(house.port)
  await until(() => house.clock.timers > 0)
  await new Promise((done) => { setTimeout(done, 20) })
  house.clock.advance(4900)
  assert.equal(silent.socket.destroyed, false)
  house.clock.advance(300)
  await silent.closed
  await until(() => house.clock.timers === 0 || (house.clock.advance(100), false))
})

test('a server that closes lets go of connections that have sent nothing, and serves those that have', async (t) => {
  const house = await openLanes(t)
  const silent = await Raw.open(house.port)
  await until(() => house.clock.timers > 0)
  const closed = once(house.server, 'close')
  house.server.close()
  await silent.closed
  await closed
})

test('a server that closes waits for a client that has spoken, until all connections are to be closed', async (t) => {
  const house = await openLanes(t)
  house.groups.onAcquire = () => deferred().promise
  const raw = await sent(house, HEAD)
  await until(() => house.clock.timers > 0 && raw.socket.bytesWritten > 0)
  await new Promise((done) => { setTimeout(done, 20) })
  house.server.close()
  await new Promise((done) => { setTimeout(done, 20) })
  assert.equal(raw.socket.destroyed, false)
  house.server.closeAllConnections()
  await raw.closed
})

test('a connection over maxConnections is closed at once, those that were handed over counted', async (t) => {
  let handed = 2
  const dropped: string[] = []
  t.after(subscribe('tenantry:admission:refuse', ({ code }) => dropped.push(code)))
  const house = await openLanes(t, {}, { maxConnections: 2, countHanded: () => handed })
  for (let index = 0; index < 2; index++) {
    const raw = await sent(house, HEAD)
    assert.ok(await raw.until('hand-of'))
    await raw.closed
  }
  const third = await sent(house, HEAD)
  await third.closed
  assert.deepEqual([third.text, dropped], ['', ['ERR_CONNECTION_LIMIT']])
  handed = 1
  // Those that were dropped or answered are gone for the server a moment later than for their clients.
  while (!(await (await sent(house, HEAD)).until('hand-of'))) dropped.pop()
})

test('each reason for the relay is counted under its name', async (t) => {
  const access = (): true => true
  const noted: Record<string, () => Promise<LaneHouse>> = {
    option: () => openLanes(t, { lane: 'relay' }),
    hooks: () => openLanes(t, { access }),
    proxy: () => openLanes(t, { trustProxy: 'loopback' }),
    label: () => openLanes(t, { applicationGroup: () => 'x' }),
    descriptors: () => openLanes(t, {}, { hasDescriptors: () => false }),
    refused: () => openLanes(t, {}, { accepts: () => false }),
    server: async () => {
      const house = await openLanes(t)
      house.server.keepAliveTimeout = 77
      return house
    },
    'server (a listener)': async () => {
      const house = await openLanes(t)
      house.server.on('upgrade', () => {})
      return house
    },
    misdirected: async () => {
      const house = await openLanes(t)
      house.lanes.keep('127.0.0.1')
      return house
    },
    events: async () => {
      t.after(subscribe('tenantry:request:finish', () => {}))
      return await openLanes(t)
    },
  }
  for (const [reason, open] of Object.entries(noted)) {
    const house = await open()
    const raw = await sent(house, HEAD)
    assert.ok(await raw.until('relayed'), reason)
    raw.leave()
    assert.deepEqual([house.lanes.stats().handoff, house.lanes.stats().relay], [0, { [reason.replace(/ .*/, '')]: 1 }])
  }
})

test('a request that a proxy sends stays, since the next one may be for another host', async (t) => {
  const house = await openLanes(t)
  for (const field of ['Via: 1.1 x', 'X-Forwarded-For: 192.0.2.1', 'forwarded: for=192.0.2.1']) {
    const raw = await sent(house, `GET / HTTP/1.1\r\nHost: a.test\r\n${field}\r\n\r\n`)
    assert.ok(await raw.until('relayed'))
    raw.leave()
  }
  assert.deepEqual(house.lanes.stats().relay, { proxy: 3 })
})

test('what cannot be handed over at all is an error where the hand-off was demanded, and said where it was not', async (t) => {
  const none = { hasDescriptors: (): boolean => false }
  await assert.rejects(openLanes(t, { lane: 'handoff' }, none), { code: 'ERR_OPTION_INVALID', message: /lane is 'handoff', but/ })
  assert.match((await openLanes(t, {}, none)).lanes.stats().obstacle ?? '', /connection over takes/)
  assert.equal((await openLanes(t)).lanes.stats().obstacle, null)
})
