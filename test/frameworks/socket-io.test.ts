import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { io } from 'socket.io-client'
import { eventually } from '../behaviour/client.ts'
import { serveFramework } from './serve.ts'
import type { TestContext } from 'node:test'
import type { Socket, SocketOptions, ManagerOptions } from 'socket.io-client'

function connect(t: TestContext, url: string, options: Partial<ManagerOptions & SocketOptions>): Socket {
  const socket = io(url, { forceNew: true, reconnection: false, query: { own: 'é' }, ...options })
  t.after(() => socket.disconnect())
  return socket
}

/** What comes with the next such event; an error of the connection fails the test at once. */
async function next(socket: Socket, event: string): Promise<unknown> {
  return (await once(socket as unknown as NodeJS.EventEmitter, event, { signal: AbortSignal.timeout(10_000) }))[0]
}

for (const transport of ['polling', 'websocket'] as const) {
  test(`Socket.IO over ${transport}`, async (t) => {
    const { url, log } = await serveFramework(t, 'socket-io.mjs')
    const [one, two] = [0, 1].map(() => connect(t, url, { transports: [transport] })) as [Socket, Socket]
    const hello = { transport, address: '127.0.0.1', query: 'é' }
    assert.deepEqual(await Promise.all([next(one, 'hello'), next(two, 'hello')]), [hello, hello])

    await t.test('acknowledgements bring text, structures and bytes back', async () => {
      for (const value of ['é', { a: [1, null] }, 'x'.repeat(300_000)]) assert.deepEqual(await one.emitWithAck('echo', value), value)
      const bytes = await one.emitWithAck('echo', Buffer.alloc(300_000, 7)) as Uint8Array
      assert.ok(Buffer.alloc(300_000, 7).equals(Buffer.from(bytes)))
    })

    await t.test('rooms and broadcasts reach the others', async () => {
      await two.emitWithAck('join', 'room')
      const said = next(two, 'said')
      one.emit('say', 'room', 'to the room')
      assert.equal(await said, 'to the room')
      const everybody = Promise.all([next(one, 'said'), next(two, 'said')])
      two.emit('everybody', 'to all')
      assert.deepEqual(await everybody, ['to all', 'to all'])
    })

    await t.test('a namespace has its own middleware', async (t) => {
      const good = connect(t, `${url}/private`, { transports: [transport], auth: { token: 'good' } })
      assert.equal(await next(good, 'welcome'), 'good')
      const bad = connect(t, `${url}/private`, { transports: [transport], auth: { token: 'bad' } })
      assert.equal((await next(bad, 'connect_error') as Error).message, 'who?')
    })

    await t.test('the connection outlives its pings, and ends from either side', async () => {
      let pings = 0
      one.io.engine.on('ping', () => { pings++ })
      await eventually('three pings', () => pings >= 3)
      assert.equal(one.connected, true)
      const left = next(one, 'disconnect')
      one.emit('leave')
      assert.equal(await left, 'io server disconnect')
      two.disconnect()
      await eventually('the application hears of the other',
        () => log.some(({ msg }) => /^disconnect (client namespace disconnect|transport close)$/.test(String(msg))))
    })

    await t.test('other requests of the same server are its own', async () => {
      assert.equal(await (await fetch(`${url}/page`)).text(), 'beside socket.io')
      assert.equal((await fetch(`${url}/socket.io/?EIO=4&transport=none`)).status, 400)
    })
  })
}

test('Socket.IO begins with polling and moves to a WebSocket', async (t) => {
  const { url } = await serveFramework(t, 'socket-io.mjs')
  const socket = connect(t, url, { transports: ['polling', 'websocket'] })
  const upgraded = next(socket, 'upgraded')
  assert.deepEqual(await next(socket, 'hello'), { transport: 'polling', address: '127.0.0.1', query: 'é' })
  assert.equal(await upgraded, 'websocket')
  assert.equal(await socket.emitWithAck('echo', 'after the move'), 'after the move')
})
