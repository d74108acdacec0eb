import assert from 'node:assert/strict'
import { head, many, Raw } from './raw.ts'
import { sleep } from './siege.ts'
import type { Siege } from './siege.ts'

const times = (count: number, text: string): string[] => Array.from({ length: count }, () => text)

/** Sends all of it at once and reads until as many answers came; the statuses, counted. */
export async function burst(port: number, requests: readonly string[]): Promise<Map<string, number>> {
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

/** So many requests, 200 in each pipeline; each is answered. */
export function readPipelines(count: number): (siege: Siege) => Promise<void> {
  return async ({ port }) => {
    const requests = times(200, head('GET', '/'))
    await many(count / 200, 4, async () => {
      assert.deepEqual([...await burst(port, requests)], [['200', 200]])
    })
  }
}

/** Far more than may wait; half of them behind an answer that never comes. */
export async function unreadPipelines({ port }: Siege): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    const raw = await Raw.open(port, false)
    raw.send((index % 2 === 0 ? head('GET', '/hang') : '') + times(5000, head('GET', '/')).join(''))
    return raw
  }))
  await sleep(1000)
  for (const raw of clients) raw.leave('reset')
  await Promise.all(clients.map((raw) => raw.closed))
}
