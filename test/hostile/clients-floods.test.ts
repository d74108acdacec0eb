import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parseDescriptorLimit } from '../../src/machine.ts'
import { eventually } from '../behaviour/client.ts'
import { burst, readPipelines, unreadPipelines } from './pipelines.ts'
import { head, many, Raw } from './raw.ts'
import { Siege, skip, THREADS } from './siege.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(THREADS) })
after(() => siege?.close())

test('40,000 requests in pipelines are each answered, and leave nothing behind', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: readPipelines(10_000), attack: readPipelines(40_000), saturates: true })
})

test('pipelines that are never read, and such that wait behind an answer that never comes, are bounded', { skip }, async (t) => {
  await siege.withstands(t, { warmUp: unreadPipelines, attack: unreadPipelines, saturates: true })
})

test('100,000 random hosts, known and malformed names between them, leave nothing behind', { skip }, async (t) => {
  const name = (index: number): string => `h${index}-${(index * 2_654_435_761 % 2 ** 32).toString(36)}.test`
  const flood = (count: number) => async ({ port }: Siege): Promise<void> => {
    await many(count / 200, 4, async (round) => {
      const requests = Array.from({ length: 200 }, (_, at) => `GET / HTTP/1.1\r\nHost: ${name(round * 200 + at)}\r\n\r\n`)
      assert.deepEqual([...await burst(port, requests)], [['421', 200]])
    })
  }
  await siege.withstands(t, { warmUp: flood(20_000), attack: flood(100_000), saturates: true })
})

test('10,000 idle connections, or as many as the system lets two processes have, are held and let go', { skip }, async (t) => {
  const limit = parseDescriptorLimit(readFileSync('/proc/self/limits', 'latin1'))
  const count = Math.min(10_000, Math.floor(limit * 0.6))
  if (count < 10_000) t.diagnostic(`the limit of descriptors is ${limit}: only ${count} connections`)
  const idle = (clients: number) => async ({ port }: Siege): Promise<void> => {
    const open = new Set<Raw>()
    await many(clients, 100, async () => void open.add(await Raw.open(port)))
    // A client is connected before the server has taken its connection.
    await eventually('all are there at once', () => siege.descriptors > clients)
    const waiting = [...open].values()
    await many(clients, 100, async () => {
      const raw = waiting.next().value as Raw
      raw.send(head('GET', '/'))
      assert.ok(await raw.until('fine'), raw.text)
    })
    for (const raw of open) raw.leave()
    await Promise.all([...open].map((raw) => raw.closed))
  }
  await siege.withstands(t, { warmUp: idle(count / 5), attack: idle(count) })
})
