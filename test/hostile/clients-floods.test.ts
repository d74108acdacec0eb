import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parseDescriptorLimit } from '../../src/machine.ts'
import { eventually } from '../behaviour/client.ts'
import { head, many, Raw } from './raw.ts'
import { COMMAND, Siege, skip, sleep } from './siege.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(COMMAND) })
after(() => siege?.close())

/** Sends all of it at once and reads until as many answers came; the statuses, counted. */
async function burst(port: number, requests: readonly string[]): Promise<Map<string, number>> {
  const raw = await Raw.open(port, false)
  const statuses = new Map<string, number>()
  let carry = ''
  let answers = 0
  const over = new Promise<void>((resolve) => {
    raw.socket.setEncoding('latin1').on('data', (text: string) => {
      const all = carry + text
      let end = 0
      for (const match of all.matchAll(/HTTP\/1\.1 (\d\d\d)/g)) {
        const status = match[1] as string
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        answers++
        end = match.index + match[0].length
      }
      carry = all.slice(Math.max(end, all.length - 11))
      if (answers >= requests.length) resolve()
    })
    raw.socket.once('close', () => resolve())
  })
  raw.send(requests.join(''))
  await over
  raw.leave()
  await raw.closed
  return statuses
}

const times = (count: number, text: string): string[] => Array.from({ length: count }, () => text)

test('40,000 requests in pipelines are each answered, and leave nothing behind', { skip }, async (t) => {
  const flood = (count: number) => async ({ port }: Siege): Promise<void> => {
    const requests = times(200, head('GET', '/'))
    await many(count / 200, 4, async () => {
      assert.deepEqual([...await burst(port, requests)], [['200', 200]])
    })
  }
  await siege.withstands(t, { warmUp: flood(10_000), attack: flood(40_000) })
})

test('pipelines that are never read, and such that wait behind an answer that never comes, are bounded', { skip }, async (t) => {
  const flood = async ({ port }: Siege): Promise<void> => {
    const clients = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
      const raw = await Raw.open(port, false)
      raw.send((index % 2 === 0 ? head('GET', '/hang') : '') + times(5000, head('GET', '/')).join(''))
      return raw
    }))
    await sleep(1000)
    for (const raw of clients) raw.leave('reset')
    await Promise.all(clients.map((raw) => raw.closed))
  }
  await siege.withstands(t, { warmUp: flood, attack: flood })
})

test('100,000 random hosts, known and malformed names between them, leave nothing behind', { skip }, async (t) => {
  const name = (index: number): string => `h${index}-${(index * 2_654_435_761 % 2 ** 32).toString(36)}.test`
  const flood = (count: number) => async ({ port }: Siege): Promise<void> => {
    await many(count / 200, 4, async (round) => {
      const requests = Array.from({ length: 200 }, (_, at) => `GET / HTTP/1.1\r\nHost: ${name(round * 200 + at)}\r\n\r\n`)
      assert.deepEqual([...await burst(port, requests)], [['421', 200]])
    })
  }
  await siege.withstands(t, { warmUp: flood(20_000), attack: flood(100_000) })
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
