import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { Door } from '../../src/context/door.ts'
import { FakeClock } from '../group/fake-clock.ts'
import { until } from '../wire/ends.ts'
import type { TestContext } from 'node:test'
import type { FrontAddress } from '../../src/wire/boot-request.ts'

interface Visit {
  readonly first: string
  readonly socket: net.Socket
}

function openDoor(t: TestContext): { door: Door; clock: FakeClock; visits: Visit[]; expect: () => FrontAddress } {
  const clock = new FakeClock()
  const door = new Door(clock)
  const visits: Visit[] = []
  t.after(() => {
    door.close()
    for (const { socket } of visits) socket.destroy()
  })
  return { door, clock, visits, expect: () => door.expect((socket, first) => visits.push({ socket, first: first.toString() })) }
}

async function knock(t: TestContext, { path: file }: FrontAddress): Promise<net.Socket> {
  const socket = net.connect(file)
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** The folder of a door whose process was killed while it was open. */
async function killedDoor(t: TestContext): Promise<string> {
  const code = `import { mkdtempSync } from 'node:fs'; import net from 'node:net'; import { tmpdir } from 'node:os'
    const folder = mkdtempSync(tmpdir() + '/tenantry-door-')
    net.createServer().listen(folder + '/door', () => console.log(folder))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  const folder = said.toString().trim()
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  child.kill('SIGKILL')
  await once(child, 'exit')
  return folder
}

const stranger = (): string => randomBytes(32).toString('base64url')

test('what a killed front left of its door is removed by the next one, and a door that is open is not', { skip: process.platform === 'win32' }, async (t) => {
  const left = await killedDoor(t)
  const other = openDoor(t)
  const { path: own } = other.expect()
  openDoor(t).expect()
  await until(() => !existsSync(left))
  assert.ok(existsSync(own))
  await knock(t, other.expect())
})

test('a door that is closed leaves no file behind', (t) => {
  const { door, expect } = openDoor(t)
  const { path: file } = expect()
  assert.ok(existsSync(file))
  door.close()
  assert.ok(!existsSync(path.dirname(file)))
})

test('who names a token is let in once, with what was sent behind it', async (t) => {
  const { visits, expect } = openDoor(t)
  const address = expect()
  const context = await knock(t, address)
  context.write(`${address.token}and more`)
  await until(() => visits.length === 1)
  assert.equal(visits[0]?.first, 'and more')
  const again = await knock(t, address)
  again.write(address.token)
  await once(again, 'close')
  assert.equal(visits.length, 1)
})

test('a token may come byte by byte', async (t) => {
  const { visits, expect } = openDoor(t)
  const address = expect()
  const context = await knock(t, address)
  context.setNoDelay(true)
  for (const byte of address.token) {
    context.write(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => visits.length === 1)
  assert.equal(visits[0]?.first, '')
})

test('a wrong token is shown the door, and the right one still opens', async (t) => {
  const { visits, expect } = openDoor(t)
  const address = expect()
  for (const wrong of [stranger(), '\0'.repeat(43), address.token.slice(1) + '!', '__proto__'.padEnd(43)]) {
    const socket = await knock(t, address)
    socket.write(wrong)
    await once(socket, 'close')
  }
  const context = await knock(t, address)
  context.write(address.token)
  await until(() => visits.length === 1)
})

test('a context that will not come any more is not let in', async (t) => {
  const { door, visits, expect } = openDoor(t)
  const address = expect()
  door.forget(address)
  const late = await knock(t, address)
  late.write(address.token)
  await once(late, 'close')
  assert.equal(visits.length, 0)
})

test('who says nothing, or too little, is cut after five seconds', async (t) => {
  const { clock, expect } = openDoor(t)
  const address = expect()
  const [silent, halting] = await Promise.all([knock(t, address), knock(t, address)])
  halting.write('half a token')
  await until(() => clock.timers === 2)
  await clock.pass(4900)
  assert.equal(clock.timers, 2)
  const closed = Promise.all([once(silent, 'close'), once(halting, 'close')])
  await clock.pass(200)
  await closed
  assert.equal(clock.timers, 0)
})

test('a door full of strangers still lets a context in: the oldest of them goes', async (t) => {
  const { clock, visits, expect } = openDoor(t)
  const address = expect()
  const strangers: net.Socket[] = []
  for (let at = 0; at < 300; at++) strangers.push(await knock(t, address))
  const context = await knock(t, address)
  context.write(address.token)
  await until(() => visits.length === 1)
  assert.ok(clock.timers <= 256, `${clock.timers} strangers are kept`)
  await until(() => strangers[0]?.closed === true)
  assert.equal(strangers.at(-1)?.closed, false)
})

test('a door that closes sends the strangers away', async (t) => {
  const { door, clock, expect } = openDoor(t)
  const address = expect()
  const socket = await knock(t, address)
  await until(() => clock.timers === 1)
  door.close()
  await once(socket, 'close')
  await until(() => clock.timers === 0)
})
