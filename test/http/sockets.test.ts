import http from 'node:http'
import { once } from 'node:events'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import express from 'express'
import Fastify from 'fastify'
import Koa from 'koa'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { WebSocket } from 'ws'
import { tenantry as fastifyPlugin } from '../../src/http/fastify.ts'
import { tenantry as honoMiddleware } from '../../src/http/hono.ts'
import { tenantry as koaMiddleware } from '../../src/http/koa.ts'
import { eventually, Wire } from '../behaviour/client.ts'
import { openHouse, openRuntime } from '../behaviour/house.ts'
import type net from 'node:net'
import type { TestContext } from 'node:test'
import type { Runtime } from '../../src/runtime.ts'

const WS = import.meta.resolve('ws').replace(/ws\/[^/]*$/, 'ws/wrapper.mjs')

const ECHO = `
import http from 'node:http'
import { WebSocketServer } from '${WS}'
const server = http.createServer((req, res) => res.end(String(sockets.clients.size)))
const sockets = new WebSocketServer({ server })
sockets.on('connection', (socket, req) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  socket.on('ping', () => socket.send('pinged'))
})
server.listen(3000)
`

/** A protocol of its own: says 101 and then what its path says. */
const RAW = `
import http from 'node:http'
let sent = 0
let events = []
const server = http.createServer((req, res) => res.end(JSON.stringify({ sent, events })))
server.on('upgrade', (req, socket, head) => {
  socket.on('error', () => {})
  for (const event of ['end', 'close', 'error']) socket.on(event, () => events.push(event))
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: raw\\r\\n\\r\\n')
  if (req.url === '/half') {
    // The client has ended its half; ours goes on for a while.
    let text = String(head)
    socket.on('data', (part) => { text += part })
    socket.on('end', () => setTimeout(() => socket.end('after your end: ' + text), 30))
  } else if (req.url === '/first') {
    socket.end('bye')
    socket.on('data', (part) => events.push(String(part)))
  } else if (req.url === '/flood') {
    const chunk = Buffer.alloc(50_000)
    const more = () => { do sent += chunk.length; while (!socket.destroyed && socket.write(chunk)) }
    socket.on('drain', more)
    more()
  } else if (req.url === '/stall') {
    socket.pause()
    setTimeout(() => { socket.resume(); let bytes = 0; socket.on('data', (part) => { bytes += part.length; if (bytes === 20_000_000) socket.end('all ' + bytes) }) }, 300)
  }
})
server.listen(3000)
`

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: raw\r\n\r\n'

async function openSocket(t: TestContext, port: number, host: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host } })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

async function echo(socket: WebSocket, text: string): Promise<string> {
  const answer = once(socket, 'message') as Promise<[Buffer]>
  socket.send(text)
  return String((await answer)[0])
}

test('a thousand WebSockets over several tenants are open at once, each with its own echo, and leave nothing behind', async (t) => {
  const hosts = ['a.test', 'b.test', 'c.test', 'd.test']
  const { port, runtime, server } = await openHouse(t, Object.fromEntries(hosts.map((host) => [host, ECHO])))
  const sockets: WebSocket[] = []
  // A hundred at a time: a listening socket's queue has a length.
  while (sockets.length < 1000) {
    sockets.push(...await Promise.all(Array.from({ length: 100 }, (_, index) => openSocket(t, port, hosts[index % 4] as string))))
  }
  assert.equal(runtime.stats().inFlight, 1000)
  const echoes = await Promise.all(sockets.map((socket, index) => echo(socket, `socket ${index}`)))
  assert.deepEqual(echoes, sockets.map((_, index) => `socket ${index}`))
  const closed = Promise.all(sockets.map((socket) => once(socket, 'close')))
  for (const [index, socket] of sockets.entries()) {
    if (index % 2 === 0) socket.close()
    else socket.terminate()
  }
  await closed
  await eventually('every lease is returned', () => runtime.stats().inFlight === 0)
  await eventually('every connection is closed', () => new Promise((resolve) => {
    server.getConnections((_error, count) => resolve(count === 0))
  }))
})

test('ping, pong and a close with its code pass', async (t) => {
  const { port } = await openHouse(t, { 'a.test': ECHO })
  const socket = await openSocket(t, port, 'a.test')
  const pong = once(socket, 'pong') as Promise<[Buffer]>
  const pinged = once(socket, 'message') as Promise<[Buffer]>
  socket.ping('here?')
  assert.deepEqual([String((await pong)[0]), String((await pinged)[0])], ['here?', 'pinged'])
  socket.close(4002, 'enough')
  assert.equal((await once(socket, 'close'))[0], 4002)
})

test('a client that ends its half still gets what the application says afterwards', async (t) => {
  const { port, runtime } = await openHouse(t, { 'raw.test': RAW })
  const wire = await Wire.open(t, port)
  wire.send(`GET /half HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}in the first packet`)
  wire.send(', and later')
  wire.socket.end()
  assert.match(await wire.rest(), /after your end: in the first packet, and later$/)
  await eventually('the lease is returned', () => runtime.stats().inFlight === 0)
})

test('an application that ends its half still hears its client', async (t) => {
  const { port, runtime } = await openHouse(t, { 'raw.test': RAW })
  const wire = await Wire.open(t, port)
  wire.send(`GET /first HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}`)
  assert.match(await wire.rest(), /bye$/)
  wire.send('said after your end')
  wire.socket.end()
  await eventually('it heard', async () => {
    const other = await Wire.open(t, port)
    other.send('GET / HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n')
    return (await other.rest()).includes('said after your end')
  })
  await eventually('the lease is returned', () => runtime.stats().inFlight === 0)
})

test('a tunnel has back-pressure both ways', async (t) => {
  const { port, runtime } = await openHouse(t, { 'raw.test': RAW })
  const flood = await Wire.open(t, port)
  flood.send(`GET /flood HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}`)
  await flood.until('101')
  flood.socket.pause()
  let before = -1
  await eventually('the application stands still', async () => {
    const wire = await Wire.open(t, port)
    wire.send('GET / HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n')
    const { sent } = JSON.parse((await wire.rest()).split('\r\n\r\n')[1] ?? '') as { sent: number }
    const still = sent === before && sent > 0
    before = sent
    return still
  })
  // The window, and what the sockets of this machine hold.
  assert.ok(before < 16_000_000, `${before} bytes were sent to nobody`)
  flood.socket.destroy()
  const stall = await Wire.open(t, port)
  stall.send(`GET /stall HTTP/1.1\r\nHost: raw.test\r\n${UPGRADE}`)
  await stall.until('101')
  stall.send(Buffer.alloc(20_000_000))
  await stall.until('all 20000000')
  stall.socket.end()
  await eventually('every lease is returned', () => runtime.stats().inFlight === 0)
})

/** Each framework with its own routes, and an upgrade beside it. */
const SERVERS: Readonly<Record<string, (t: TestContext, runtime: Runtime) => Promise<net.Server>>> = {
  Express: async (_t, runtime) => {
    const app = express()
    app.use(runtime.handler)
    return await Promise.resolve(http.createServer(app).listen(0, '127.0.0.1'))
  },
  Fastify: async (t, runtime) => {
    const app = Fastify()
    t.after(() => app.close())
    app.register(fastifyPlugin, { runtime })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return app.server
  },
  Koa: async (_t, runtime) => {
    const app = new Koa()
    app.use(koaMiddleware(runtime))
    return await Promise.resolve(app.listen(0, '127.0.0.1'))
  },
  Hono: async (_t, runtime) => {
    const app = new Hono()
    app.use(honoMiddleware(runtime))
    return await Promise.resolve(serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as net.Server)
  },
}

for (const [name, open] of Object.entries(SERVERS)) {
  test(`behind ${name}, server.on('upgrade', runtime.upgrade) carries WebSockets beside requests`, async (t) => {
    const { runtime } = await openRuntime(t, { 'a.test': ECHO })
    const server = await open(t, runtime)
    server.on('upgrade', runtime.upgrade)
    t.after(() => server.close())
    await eventually('it listens', () => server.listening)
    const { port } = server.address() as net.AddressInfo
    const socket = await openSocket(t, port, 'a.test')
    assert.equal(await echo(socket, 'hello'), 'hello')
    const answer = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ port, agent: false, headers: { host: 'a.test' } }, resolve)
    })
    assert.equal(String((await once(answer, 'data'))[0]), '1')
    socket.close()
    await once(socket, 'close')
    await eventually('the lease is returned', () => runtime.stats().inFlight === 0)
  })
}
