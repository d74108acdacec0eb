import { test } from 'node:test'
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { subscribe } from '../../src/events.ts'
import { ask, eventually, Wire } from './client.ts'
import { openHouse } from './house.ts'
import { askSecure, CERTIFIED, openSecureHouse } from './secure.ts'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Runtime } from '../../src/runtime.ts'

const skip = openDescriptors() === undefined && 'nothing here can give a descriptor away'

/** `/spin` stands still until a file is there, then the whole context is gone: what came meanwhile it has never opened. */
const APP = `
import { existsSync } from 'node:fs'
const file = import.meta.dirname + '/now'
let requests = 0
export default (req, res) => {
  if (req.url === '/spin') {
    while (!existsSync(file)) {}
    process.exit(1)
  }
  if (req.url === '/slow') setTimeout(() => res.end('slow'), 200)
  else req.on('data', () => {}).on('end', () => res.end(JSON.stringify({ requests: ++requests })))
}`

const get = (url: string): string => `GET ${url} HTTP/1.1\r\nHost: a.test\r\n\r\n`

interface Spinning {
  readonly server: Server
  readonly runtime: Runtime
  readonly port: number
  /** The context is to die. */
  readonly die: () => Promise<void>
  /** Resolves when so many connections were handed over since it spins. */
  readonly given: (count: number) => Promise<void>
}

/** A tenant whose context has answered once, and stands still now. */
async function spinning(t: TestContext, options: Partial<RuntimeOptions> = {}, app = APP): Promise<Spinning> {
  const tenants = { 'a.test': app }
  const { runtime, server, port, folder } = await openHouse(t, tenants, { lane: 'handoff', spares: 0, deadlockTimeout: 60_000, ...options })
  await ask(port, 'a.test')
  const spin = await Wire.open(t, port)
  spin.send(get('/spin'))
  const before = (): number => runtime.stats().list[0]?.inFlight ?? 0
  await eventually('it spins', () => runtime.stats().lanes.handoff === 2 && before() === 1)
  const die = async (): Promise<void> => {
    await writeFile(path.join(folder, 'a.test', 'now'), '')
    await spin.rest()
  }
  return { runtime, server, port, die, given: async (count) => await eventually('they are given', () => runtime.stats().lanes.handoff === 2 + count) }
}

test('connections that a context dies upon before it opened them are served by the next one, each request once', { skip }, async (t) => {
  const { runtime, port, die, given } = await spinning(t)
  const wires = await Promise.all(Array.from({ length: 4 }, () => Wire.open(t, port)))
  for (const wire of wires.slice(0, 3)) wire.send(get('/'))
  // What comes after the head, and later, is all of it there.
  wires[3]?.send('POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\n1234')
  await given(4)
  wires[3]?.send('5678')
  await die()
  await Promise.all(wires.map((wire) => wire.until('"requests":')))
  assert.deepEqual(new Set(wires.map(({ text }) => /"requests":(\d)/.exec(text)?.[1])), new Set(['1', '2', '3', '4']))
  // They are the front's from now on, whose lanes say so.
  assert.deepEqual(runtime.stats().lanes, { handoff: 2, relay: { context: 4 }, obstacle: null })
  wires[0]?.send(get('/'))
  await wires[0]?.until('"requests":5')
})

test('a client that left meanwhile is nobody to be served', { skip }, async (t) => {
  const { runtime, port, die, given } = await spinning(t)
  const [gone, here] = [await Wire.open(t, port), await Wire.open(t, port)]
  gone.send(get('/'))
  here.send(get('/'))
  await given(2)
  gone.socket.resetAndDestroy()
  await die()
  await here.until('"requests":1')
  await eventually('none is open', () => runtime.stats().inFlight === 0)
})

test('a tenant that dies at every connection gets each one once, and then its client is answered', { skip }, async (t) => {
  let handed = 0
  t.after(subscribe('tenantry:connection:handoff', () => { handed++ }))
  const { port, die, given } = await spinning(t, {}, APP.replace("if (req.url === '/slow')", "if (req.url === '/die') process.exit(1)\n  if (req.url === '/slow')"))
  const wires = await Promise.all(Array.from({ length: 3 }, () => Wire.open(t, port)))
  for (const wire of wires) wire.send(get('/die'))
  await given(3)
  await die()
  await Promise.all(wires.map((wire) => wire.until(/HTTP\/1\.1 50[23] /)))
  assert.equal(handed, 5)
})

test('close() waits for the answer on a connection that came back', { skip }, async (t) => {
  const { runtime, server, port, die, given } = await spinning(t, { drainTimeout: 5000 })
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket))
  const slow = await Wire.open(t, port)
  slow.send(get('/slow'))
  await given(1)
  await die()
  await eventually('it is asked again', () => runtime.stats().list[0]?.state === 'serving' && runtime.stats().inFlight === 1)
  await runtime.close()
  assert.deepEqual(sockets.map(({ closed }) => closed), [true, true], 'as it was accepted, and as it came back')
  assert.match(await slow.rest(), /slow$/)
})

test('a server that has ended takes none back', { skip }, async (t) => {
  const { runtime, port, given } = await spinning(t)
  const late = await Wire.open(t, port)
  late.send(get('/'))
  await given(1)
  await runtime.destroy()
  assert.equal(await late.rest(), '')
  assert.deepEqual(runtime.stats().lanes.relay, {})
})

test('over TLS they come back before their handshake, and the front does it', { skip }, async (t) => {
  const files = { 'index.mjs': APP, 'tenant.json': JSON.stringify({ tls: { cert: 'cert.pem', key: 'key.pem' } }), ...CERTIFIED }
  const { port, runtime, folder } = await openSecureHouse(t, { 'one.example.test': files }, {}, { lane: 'handoff', spares: 0, deadlockTimeout: 60_000 })
  await askSecure(port, 'one.example.test', '/')
  const spin = askSecure(port, 'one.example.test', '/spin').catch(() => {})
  await eventually('it spins', () => runtime.stats().lanes.handoff === 2 && runtime.stats().list[0]?.inFlight === 1)
  const later = askSecure(port, 'one.example.test', '/')
  await eventually('it is given', () => runtime.stats().lanes.handoff === 3)
  await writeFile(path.join(folder, 'one.example.test', 'now'), '')
  assert.deepEqual(JSON.parse((await later).text), { requests: 1 })
  await spin
  assert.deepEqual(runtime.stats().lanes.relay, { context: 1 })
})
