import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { DaemonVessel } from '../../src/context/daemon-vessel.ts'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { Door } from '../../src/context/door.ts'
import { descriptorOf } from '../../src/context/handover.ts'
import { Lane } from '../../src/daemon/lane.ts'
import { Control, writeNumber } from '../../src/wire/control.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import { until } from '../wire/ends.ts'
import { openDaemon, startIn } from './in-daemon.ts'
import { connected, openCount, watch } from './sockets.ts'
import { appFile, folder, record, specOf } from './start.ts'
import type { TestContext } from 'node:test'
import type { OfferedConnection } from '../../src/context/context.ts'
import type { Daemon } from '../../src/context/daemon.ts'
import type { Vessel } from '../../src/context/vessel.ts'
import type { Connected } from './sockets.ts'

const skip = openDescriptors() === undefined && 'neither koffi nor node:ffi is here, or this is not 64-bit Linux'

const HELLO = 'export default (req, res) => res.end("hello")'

function offer({ socket }: Connected): OfferedConnection {
  return { socket, first: Buffer.from('GET / HTTP/1.1\r\nHost: a.test\r\n'), hosts: ['a.test'] }
}

/** What runs `source` before our own code, and a context in it of which nothing is expected. */
function openHostile(t: TestContext, source: string): { readonly daemon: Daemon; readonly vessel: Vessel; readonly lines: string[] } {
  const file = path.join(folder(t), 'hostile.mjs')
  writeFileSync(file, `
    import fs from 'node:fs'
    const say = (...message) => {
      const text = JSON.stringify([[], message])
      const head = Buffer.alloc(8)
      head.writeUInt32LE(Buffer.byteLength(text), 0)
      fs.writeSync(3, Buffer.concat([head, Buffer.from(text)]))
    }
    say(${Control.HELLO}, 1)
    say(${Control.TAKES})
    ${source}`)
  const daemon = openDaemon(t, { execArgv: [`--import=${file}`] })
  const lines: string[] = []
  const listener = { onBatch() {}, onLine: (_: string, line: string) => void lines.push(line), onExit() {} }
  return { daemon, lines, vessel: daemon.open(specOf(appFile(t, HELLO)), listener) }
}

function descriptorsOf(daemon: Daemon): number {
  return readdirSync(`/proc/${daemon.pid}/fd`).length
}

test('connections cross into a daemon, and end with their context and nowhere before', { skip }, async (t) => {
  const daemon = openDaemon(t)
  const context = startIn(t, daemon, HELLO)
  await context.ready
  const before = openCount()
  const there = descriptorsOf(daemon)
  const connections = await Promise.all(Array.from({ length: 20 }, () => connected(t)))
  const seen = connections.map(({ client }) => watch(client))
  // The first one may meet a daemon that has not said yet that it takes them.
  await until(() => context.handOver(offer(connections[0]!)))
  for (const connection of connections.slice(1)) assert.equal(context.handOver(offer(connection)), true)
  assert.ok(connections.every(({ socket }) => socket.destroyed))
  await until(() => context.scoreboard.read('handedOpened') === 20)
  assert.ok(seen.every(({ over }) => !over))
  await context.terminate('admin')
  await until(() => seen.every(({ over }) => over))
  await until(() => openCount() <= before)
  await until(() => descriptorsOf(daemon) <= there)
})

for (const [where, label] of [['a thread', 'in-thread.test'], ['the main thread', '']] as const) {
  test(`a connection is served on ${where} of a daemon, request after request, and its client notices nothing`, { skip }, async (t) => {
    const daemon = openDaemon(t)
    const context = startIn(t, daemon, `
      import { isMainThread } from 'node:worker_threads'
      export default (req, res) => res.end(JSON.stringify([req.url, isMainThread, req.socket.remotePort]))`, { label })
    await context.ready
    const connection = await connected(t)
    const { localPort } = connection.client
    const seen = watch(connection.client)
    const first = Buffer.from('GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await until(() => context.handOver({ socket: connection.socket, first, hosts: ['a.test'] }))
    await until(() => seen.text.endsWith(JSON.stringify(['/first', label === '', localPort])))
    connection.client.write('GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n')
    await until(() => seen.text.endsWith(JSON.stringify(['/second', label === '', localPort])))
    assert.equal(seen.over, false)
    await until(() => context.scoreboard.read('handedServed') === 2)
  })
}

test('a daemon that is asked tells at once what its contexts do; one that says nothing holds nobody up', { skip }, async (t) => {
  // Stands still: whatever is waited for, no timer of the front's ends it.
  const clock = new FakeClock()
  const daemon = openDaemon(t, {}, { clock })
  const context = startIn(t, daemon, HELLO)
  await context.ready
  const connection = await connected(t)
  const seen = watch(connection.client)
  const first = Buffer.from('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await until(() => context.handOver({ socket: connection.socket, first, hosts: ['a.test'] }))
  await until(() => seen.text.endsWith('hello'))
  // Far less than half a second, after which it tells unasked.
  for (let looks = 0; context.scoreboard.read('handedServed') === 0; looks++) {
    assert.ok(looks < 50)
    await daemon.look()
    assert.equal(daemon.look(), undefined, 'not again at once')
    clock.advance(20)
  }
  const look = daemon.look()
  assert.ok(look !== undefined)
  assert.equal(daemon.look(), look, 'one at a time')
  await look
  clock.advance(20)
  process.kill(daemon.pid as number, 'SIGSTOP')
  const unanswered = daemon.look()
  assert.ok(unanswered !== undefined)
  clock.advance(100)
  await unanswered
  daemon.kill('admin')
  await daemon.ended
  assert.equal(daemon.look(), undefined)
})

test('a connection that is given to a context as it ends does not stay open in its daemon', { skip }, async (t) => {
  const daemon = openDaemon(t)
  const [dying, living] = [startIn(t, daemon, HELLO), startIn(t, daemon, HELLO)]
  await Promise.all([dying.ready, living.ready])
  const first = await connected(t)
  await until(() => dying.handOver(offer(first)))
  dying.terminate('admin').catch(() => {})
  const seen = watch(first.client)
  await until(() => seen.over)
  const second = await connected(t)
  assert.equal(living.handOver(offer(second)), true)
})

test('a daemon that dies with connections on their way leaves none open, here or at their clients', { skip }, async (t) => {
  const before = openCount()
  const daemon = openDaemon(t)
  const context = startIn(t, daemon, HELLO)
  await context.ready
  const connections = await Promise.all(Array.from({ length: 20 }, () => connected(t)))
  const seen = connections.map(({ client }) => watch(client))
  await until(() => context.handOver(offer(connections[0]!)))
  for (const connection of connections.slice(1)) context.handOver(offer(connection))
  daemon.kill('admin')
  await daemon.ended
  await until(() => seen.every(({ over }) => over))
  // Its door stays open until the test is over: the socket, and the loop's first stream.
  await until(() => openCount() <= before + 2)
})

test('a daemon under the permission model takes no connection, and says so by saying nothing', { skip }, async (t) => {
  const daemon = openDaemon(t, { permission: { read: [], write: [] } })
  const context = startIn(t, daemon, HELLO)
  const outcome = await context.ready.then(() => 'ready', () => 'failed')
  const connection = await connected(t)
  const seen = watch(connection.client)
  for (let turns = 0; turns < 5; turns++) {
    assert.equal(context.handOver(offer(connection)), false)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.deepEqual([connection.socket.destroyed, seen.over], [false, false], outcome)
})

test('at its limit of descriptors a daemon loses a connection, tells, and takes the next one', {
  skip: skip || (spawnSync('prlimit', ['--version']).status !== 0 && 'no prlimit'),
}, async (t) => {
  const daemon = openDaemon(t)
  const context = startIn(t, daemon, HELLO)
  await context.ready
  const [first, second, third] = await Promise.all([connected(t), connected(t), connected(t)])
  await until(() => context.handOver(offer(first)))
  // It loads what serves them with the first one, which takes descriptors.
  await until(() => context.scoreboard.read('handedOpened') === 1)
  const limit = (files: string): void => {
    assert.equal(spawnSync('prlimit', ['--pid', String(daemon.pid), `--nofile=${files}`]).status, 0)
  }
  limit('8:')
  const lost = watch(second.client)
  assert.equal(context.handOver(offer(second)), true)
  await until(() => lost.over)
  // So that it does not count as open for ever; told with the next beat.
  await until(() => context.scoreboard.read('handedLost') === 1)
  limit('512:')
  assert.equal(context.handOver(offer(third)), true)
  await until(() => context.scoreboard.read('handedOpened') === 2)
  assert.equal(daemon.state, 'serving')
})

// Hostile ones.

test('a daemon that takes none off its socket holds nobody up: what it does not take goes over the relay', { skip }, async (t) => {
  const { daemon, vessel } = openHostile(t, 'for (;;) {}')
  await daemon.ready
  const connection = await connected(t)
  await until(() => vessel.handOver(offer(connection)))
  const given: Connected[] = []
  for (;;) {
    const next = await connected(t)
    if (!vessel.handOver(offer(next))) {
      assert.equal(next.socket.destroyed, false)
      break
    }
    given.push(next)
    assert.ok(given.length < 2000)
  }
  const seen = given.map(({ client }) => watch(client))
  daemon.kill('deadlock')
  await until(() => seen.every(({ over }) => over))
})

test('a daemon that closed its end, or says that it takes connections and does not, is the relay\'s', { skip }, async (t) => {
  const { daemon, vessel } = openHostile(t, 'fs.closeSync(4)')
  await daemon.ready
  const connection = await connected(t)
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(vessel.handOver(offer(connection)), false)
  assert.equal(connection.socket.destroyed, false)
  const seen = watch(connection.client)
  connection.socket.write('still here')
  await until(() => seen.text === 'still here')
})

test('what a daemon writes where connections are sent is read by nobody', { skip }, async (t) => {
  const outputs = record(t, 'tenantry:daemon:output')
  const { daemon, vessel } = openHostile(t, `
    let written = 0
    const write = () => fs.write(4, Buffer.alloc(65536), (error, bytes) => { written += bytes ?? 0; if (!error) write() })
    write()
    setTimeout(() => fs.writeSync(1, written + '\\n'), 300)`)
  await daemon.ready
  await until(() => outputs.some(({ pid }) => pid === daemon.pid))
  const written = Number(outputs.find(({ pid }) => pid === daemon.pid)!.line)
  assert.ok(written > 0 && written < 1024 * 1024, `${written} bytes`)
  const connection = await connected(t)
  await until(() => vessel.handOver(offer(connection)))
})

test('where somebody else takes connections off the socket, none goes to a context that it is not for', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  const [here, there] = [descriptorOf(socket)!, descriptorOf(client)!]
  const lane = new Lane(there)
  assert.equal(lane.open(), true)
  const before = openCount()
  for (const number of [1, 2, 3]) openDescriptors()!.send(here, 0, writeNumber(number))
  closeSync(lane.take(1)!)
  // What a tenant's read does, too.
  closeSync(openDescriptors()!.receive(there)!.fd)
  assert.throws(() => lane.take(2), /taken from the descriptor/)
  assert.equal(lane.take(4), undefined)
  assert.equal(openCount(), before)
})

test('a context of a daemon gets a bounded number that it has not opened, and more as it opens them', async (t) => {
  const door = new Door(systemClock)
  t.after(() => door.close())
  let given = 0
  const listener = { onBatch() {}, onLine() {}, onExit() {} }
  const vessel = new DaemonVessel(listener, false, {
    clock: systemClock, door, end() {}, lost() {}, handOver: () => ++given > 0,
  })
  const connection = offer(await connected(t))
  while (vessel.handOver(connection)) assert.ok(given < 10_000)
  assert.equal(given, 1024)
  vessel.taken(3)
  while (vessel.handOver(connection)) assert.ok(given < 10_000)
  assert.equal(given, 1027)
  // More than it was given: a lie, or the same said twice.
  vessel.taken(1e300)
  given = 0
  while (vessel.handOver(connection)) assert.ok(given < 10_000)
  assert.equal(given, 1024)
})
