import net from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from '../behaviour/client.ts'
import { held } from '../behaviour/heap.ts'
import { openHouse } from '../behaviour/house.ts'
import { serveSource } from '../tenant/front.ts'
import type http from 'node:http'

const APP = `
import http from 'node:http'
const chunk = Buffer.alloc(40_000)
const server = http.createServer((req, res) => {
  if (req.url === '/hang') return
  if (req.url === '/held') {
    gc()
    const { heapUsed, external } = process.memoryUsage()
    return res.end(String(heapUsed + external))
  }
  if (req.url === '/echo') return req.pipe(res)
  if (req.url === '/slow') { res.write('a'); return setTimeout(() => res.end('b'), 3) }
  if (req.url === '/endless') {
    const more = () => { do if (res.destroyed) return; while (res.write(chunk)) }
    res.on('drain', more)
    return more()
  }
  res.end('fine')
})
server.on('upgrade', (req, socket) => {
  socket.on('error', () => {})
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: raw\\r\\n\\r\\n')
  socket.pipe(socket)
})
server.listen(3000)
`

const head = (method: string, path: string, fields = ''): string => `${method} ${path} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`

/** Requests as they stand when their client leaves. */
const REQUESTS: readonly string[] = [
  'GET /hang HTT',
  head('GET', '/hang'),
  head('GET', '/fine'),
  head('GET', '/slow'),
  head('GET', '/endless'),
  head('HEAD', '/slow'),
  head('GET', '/fine') + head('GET', '/slow') + head('GET', '/hang') + head('GET', '/fine'),
  head('POST', '/echo', 'Content-Length: 100000\r\n') + 'x'.repeat(5000),
  head('POST', '/hang', 'Content-Length: 100000\r\n') + 'x'.repeat(90_000),
  `${head('POST', '/echo', 'Transfer-Encoding: chunked\r\n')}4\r\nhalf\r\n`,
  `${head('POST', '/echo', 'Transfer-Encoding: chunked\r\n')}4\r\nha`,
  head('POST', '/echo', 'Expect: 100-continue\r\nContent-Length: 10\r\n'),
  `${head('GET', '/', 'Connection: Upgrade\r\nUpgrade: raw\r\n')}some bytes`,
]

/** Small, seeded: a failure can be repeated. */
function random(seed: number): () => number {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed / 0x7fffffff
  }
}

async function abort(port: number, next: () => number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  socket.write(REQUESTS[Math.floor(next() * REQUESTS.length)] as string)
  const wait = next()
  if (wait > 0.25) await new Promise((resolve) => { setTimeout(resolve, wait * 8) })
  if (next() < 0.5) socket.resetAndDestroy()
  else socket.destroy()
}

async function abortMany(port: number, count: number, seed: number): Promise<void> {
  let left = count
  await Promise.all(Array.from({ length: 40 }, async (_, lane) => {
    const next = random(seed + lane)
    while (left-- > 0) await abort(port, next)
  }))
}

const connections = (server: http.Server): Promise<number> => new Promise((resolve) => {
  server.getConnections((_error, count) => resolve(count))
})

/** Sockets, ports and the like that this process has open; timers come and go. */
const resources = (): number => process.getActiveResourcesInfo().filter((name) => !/Timeout|Immediate/.test(name)).length

const MB = 1024 * 1024

test('10,000 requests aborted at random points leave no stream, connection, handle or memory behind', async (t) => {
  const { port, server, context } = await serveSource(t, APP)
  // A context that serves a connection itself stops reading where nobody reads the body, as node:http does, and then
  // hears of its client no more: handlerTimeout ends that.
  const { port: housePort, server: houseServer, runtime } = await openHouse(t, { 'a.test': APP }, { handlerTimeout: 1500 })
  await ask(housePort, 'a.test')
  const quiet = async (): Promise<void> => {
    await eventually('no connection is open', async () => (await connections(server)) + (await connections(houseServer)) === 0)
    await eventually('no stream is open in the front', () => context.channel.size === 0)
    await eventually('no request is in flight in the context', () => context.scoreboard.read('inFlight') === 0)
    await eventually('the context knows no connection', () => context.scoreboard.read('connections') === 0)
    await eventually('no lease is held', () => runtime.stats().inFlight === 0 && runtime.stats().queued === 0)
  }
  const measure = async (): Promise<number> => {
    const contexts = await Promise.all([port, housePort].map(async (at) => Number((await ask(at, 'a.test', '/held')).text)))
    return (held() + (contexts[0] as number) + (contexts[1] as number)) / MB
  }
  // Buffers that went from thread to thread are let go some turns later.
  const allHeld = async (): Promise<number> => {
    let least = Infinity
    for (let times = 0; times < 10; times++) least = Math.min(least, await measure())
    return least
  }
  // What is made once is made by the first thousands.
  await abortMany(port, 1500, 1)
  await abortMany(housePort, 1500, 2)
  await quiet()
  const before = { resources: resources(), memory: await allHeld() }
  await abortMany(port, 3500, 3)
  await abortMany(housePort, 3500, 4)
  await quiet()
  await eventually('no handle is left', () => resources() <= before.resources)
  const grown = (await allHeld()) - before.memory
  t.diagnostic(`the heaps grew by ${grown.toFixed(1)} MB in 7000 aborts`)
  // An abort that left its head behind would make more than 40 MB of it.
  assert.ok(grown < 8, `the heaps grew by ${grown.toFixed(1)} MB in 7000 aborts`)
  assert.equal((await ask(port, 'a.test')).text, 'fine')
  assert.equal((await ask(housePort, 'a.test')).text, 'fine')
})
