import { after, before, test } from 'node:test'
import { EXCHANGES, leaveWithin, leaveWithinAnswer } from './leaving-clients.ts'
import { readPipelines, unreadPipelines } from './pipelines.ts'
import { DAEMON, Siege, skip } from './siege.ts'
import { SLOW_CLIENTS, slowAttack } from './slow-clients.ts'

/** What crosses into a daemon, or is held back on the way; the rest never leaves the front, and is attacked there. */
let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(DAEMON) })
after(() => siege?.close())

for (const name of ['stop in the middle of an upload', 'upload to an application that does not read', 'not read what they asked for',
  'send half a frame of a WebSocket'] as const) {
  test(`in a daemon: two hundred clients may ${name}`, { skip }, async (t) => {
    await siege.withstands(t, slowAttack(SLOW_CLIENTS[name]))
  })
}

for (const name of ['a chunked body', 'an answer in chunks', 'an upgrade'] as const) {
  test(`in a daemon: a client may leave at every byte of ${name}`, { skip }, async (t) => {
    await siege.withstands(t, leaveWithin(EXCHANGES[name]))
  })
}

test('in a daemon: a client may leave at every byte of the answer to /pieces', { skip }, async (t) => {
  await siege.withstands(t, await leaveWithinAnswer(siege, '/pieces'))
})

test('in a daemon: 20,000 requests in pipelines are each answered, and leave nothing behind', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: readPipelines(5000), attack: readPipelines(20_000), saturates: true })
})

test('in a daemon: pipelines that are never read, and such that wait behind an answer that never comes, are bounded', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: unreadPipelines, attack: unreadPipelines, saturates: true })
})
