import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { EXCHANGES, leaveWithin, leaveWithinAnswer } from './leaving-clients.ts'
import { readPipelines, unreadPipelines } from './pipelines.ts'
import { HANDED, Siege, skip as noProc } from './siege.ts'
import { SLOW_CLIENTS, slowAttack } from './slow-clients.ts'

/** What a context bounds itself once it has a client's connection. Heads that are not complete stay in the front, and are attacked there. */
const skip = noProc === false && openDescriptors() === undefined ? 'nothing here can give a descriptor away' : noProc
let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(HANDED) })
after(() => siege?.close())

for (const name of ['stop in the middle of an upload', 'send a body byte by byte', 'upload to an application that does not read',
  'not read what they asked for', 'wait for an answer that never comes', 'send half a frame of a WebSocket'] as const) {
  test(`handed over: two hundred clients may ${name}`, { skip }, async (t) => {
    await siege.withstands(t, slowAttack(SLOW_CLIENTS[name]))
  })
}

for (const name of ['a chunked body', 'an answer in chunks', 'an upgrade'] as const) {
  test(`handed over: a client may leave at every byte of ${name}`, { skip }, async (t) => {
    await siege.withstands(t, leaveWithin(EXCHANGES[name]))
  })
}

test('handed over: a client may leave at every byte of the answer to /pieces', { skip }, async (t) => {
  await siege.withstands(t, await leaveWithinAnswer(siege, '/pieces'))
})

test('handed over: 20,000 requests in pipelines are each answered, and leave nothing behind', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: readPipelines(5000), attack: readPipelines(20_000), saturates: true })
})

test('handed over: pipelines that are never read, and such that wait behind an answer that never comes, are bounded', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: unreadPipelines, attack: unreadPipelines, saturates: true })
})

test('handed over: of all these connections most were, and none for another reason than its first bytes', { skip }, async () => {
  const { handoff, relay } = await siege.end()
  // Who has left already has no address: it is taken for somebody behind a Unix socket.
  const { head = 0, proxy = 0, ...others } = relay
  assert.deepEqual(others, {})
  assert.ok(handoff > head + proxy, JSON.stringify({ handoff, relay }))
})
