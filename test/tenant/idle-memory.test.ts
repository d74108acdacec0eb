import { test } from 'node:test'
import assert from 'node:assert/strict'
import { collectAll, IdleMemory } from '../../src/tenant/idle-memory.ts'
import { eventually } from '../behaviour/client.ts'
import { bodyOf, connect, exchange, get, serveSource } from './front.ts'
import { handSource, skip as cannotHandOver } from './handed-front.ts'
import type { LiveContext } from '../../src/context/live-context.ts'

const SMALL = 5 * 2 ** 20
const TIMEOUT = 1000

/** Looks as a heartbeat does; what it says is whether it has collected. */
function idleMemory(heapUsed = SMALL): { readonly memory: IdleMemory; readonly collected: () => number } {
  let count = 0
  return { memory: new IdleMemory(() => count++, () => heapUsed), collected: () => count }
}

test('a context gives memory back once it has been idle for trimTimeout, and not before', () => {
  const { memory, collected } = idleMemory()
  assert.equal(memory.look(0, TIMEOUT, 1, false), false)
  assert.equal(memory.look(TIMEOUT - 1, TIMEOUT, 1, false), false)
  assert.equal(collected(), 0)
  assert.equal(memory.look(TIMEOUT, TIMEOUT, 1, false), true)
  assert.equal(collected(), 1)
})

test('it is not done again until the context has served again', () => {
  const { memory, collected } = idleMemory()
  for (let now = 0; now <= 10 * TIMEOUT; now += 500) memory.look(now, TIMEOUT, 1, false)
  assert.equal(collected(), 1)
  for (let now = 10 * TIMEOUT; now <= 20 * TIMEOUT; now += 500) memory.look(now, TIMEOUT, 2, false)
  assert.equal(collected(), 2)
})

test('a request that is under way, however long, is not paused; the time begins after it', () => {
  const { memory, collected } = idleMemory()
  for (let now = 0; now <= 10 * TIMEOUT; now += 500) memory.look(now, TIMEOUT, 1, true)
  assert.equal(collected(), 0)
  assert.equal(memory.look(11 * TIMEOUT - 1, TIMEOUT, 1, false), false)
  assert.equal(memory.look(11 * TIMEOUT, TIMEOUT, 1, false), true)
})

test('a large heap, which would hold its thread for long, is left to V8', () => {
  const { memory, collected } = idleMemory(200 * 2 ** 20)
  for (let now = 0; now <= 10 * TIMEOUT; now += 500) memory.look(now, TIMEOUT, 1, false)
  assert.equal(collected(), 0)
})

test('a trimTimeout of 0 is off, and so is a Node that has no way', () => {
  const { memory, collected } = idleMemory()
  for (let now = 0; now <= 10 * TIMEOUT; now += 500) memory.look(now, 0, 1, false)
  assert.equal(collected(), 0)
  const without = new IdleMemory(undefined)
  for (let now = 0; now <= 10 * TIMEOUT; now += 500) assert.equal(without.look(now, TIMEOUT, 1, false), false)
})

test('Node 20 to 24 on Linux have a way, and no other is asked', () => {
  const major = Number.parseInt(process.versions.node, 10)
  assert.equal(collectAll !== undefined, process.platform === 'linux' && major < 25)
})

const skip = collectAll === undefined ? 'this Node has no way to collect' : false

/** Waits for so many heartbeats, at each of which a context looks. */
async function beats({ scoreboard }: LiveContext, wanted: number): Promise<void> {
  let count = 0
  let last = scoreboard.read('heartbeat')
  await eventually(`its heart has beaten ${wanted} times`, () => {
    const now = scoreboard.read('heartbeat')
    if (now !== last) count++
    last = now
    return count >= wanted
  })
}

/** Says whether garbage that it made at its start is still there, and hears every warning. */
const GARBAGE = `let warnings = 0
  process.on('warning', () => warnings++)
  globalThis.ArrayBuffer = class { constructor() { throw new Error('the tenant has replaced it') } }
  const garbage = new WeakRef({ of: 'its start' })
  let open
  export default (req, res) => {
    if (req.url === '/open') { open = res; res.write('open'); return }
    if (req.url === '/close') open.end()
    res.end(JSON.stringify({ collected: garbage.deref() === undefined, warnings }))
  }`

test('the garbage of an idle context is collected, unseen by its application, and again after a further request', { skip }, async (t) => {
  const { port, context } = await serveSource(t, GARBAGE, { limits: { trimTimeout: 1 } })
  await eventually('it is collected after its start', () => context.scoreboard.read('trims') === 1)
  assert.deepEqual(JSON.parse(bodyOf(await exchange(t, port, get('/')))), { collected: true, warnings: 0 })
  await eventually('it is collected after a request', () => context.scoreboard.read('trims') === 2)
  assert.equal(context.state, 'serving')
})

test('an answer that stays open keeps its context from it', { skip }, async (t) => {
  const { port, context } = await serveSource(t, GARBAGE, { limits: { trimTimeout: 1 } })
  await eventually('it is collected after its start', () => context.scoreboard.read('trims') === 1)
  const client = await connect(t, port)
  client.socket.write(get('/open'))
  await client.until('open')
  await beats(context, 3)
  assert.equal(context.scoreboard.read('trims'), 1)
  await exchange(t, port, get('/close'))
  await eventually('it is collected after the answer', () => context.scoreboard.read('trims') >= 2)
})

test('an open connection that was handed over does not keep its context from it, a WebSocket on it does', { skip: skip || cannotHandOver }, async (t) => {
  const source = `import http from 'node:http'
    http.createServer((req, res) => res.end('hello')).on('upgrade', (req, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n')
      socket.on('data', () => socket.end())
    }).listen(80)`
  const { port, context } = await handSource(t, source, { limits: { trimTimeout: 1 } })
  const trims = (): number => context.scoreboard.read('trims')
  const client = await connect(t, port)
  client.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await client.until('hello')
  const served = trims()
  await eventually('it is collected beside an idle connection', () => trims() > served)
  client.socket.write('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  await client.until('101 Switching')
  const upgraded = trims()
  await beats(context, 3)
  assert.equal(trims(), upgraded)
  client.socket.write('bye')
  await eventually('it is collected after the WebSocket', () => trims() > upgraded)
})
