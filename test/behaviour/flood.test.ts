import net from 'node:net'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson } from './client.ts'
import { residentMemory, serve } from './command.ts'
import { COUNTING, tenantFolder } from './house.ts'

const MB = 1024 * 1024
const REQUESTS = 200_000
const CONNECTIONS = 8
/** Requests of one connection on their way at once. */
const PIPELINE = 250

const skip = existsSync('/proc/self/status') ? false : 'memory is read from /proc'

/** Sends `count` pipelined requests over a few connections; counts the answers by status. */
async function flood(port: number, count: number, head: (index: number) => string): Promise<Map<string, number>> {
  const statuses = new Map<string, number>()
  let next = 0
  const lane = async (): Promise<void> => {
    // A server may close any connection that brought it nonsense: then the next one goes on.
    while (next < count) await burst()
  }
  const burst = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1')
      let open = 0
      let carry = ''
      const send = (): void => {
        const heads: string[] = []
        while (open < PIPELINE && next < count) {
          heads.push(head(next++))
          open++
        }
        if (open === 0) socket.end()
        else if (heads.length > 0) socket.write(heads.join(''))
      }
      socket.setEncoding('latin1').on('data', (text: string) => {
        const all = carry + text
        carry = all.slice(-12)
        for (const [, status] of all.matchAll(/HTTP\/1\.1 (\d\d\d)/g)) {
          statuses.set(status as string, (statuses.get(status as string) ?? 0) + 1)
          open--
        }
        // Whole, so that it is not counted again with the next packet.
        if (/HTTP\/1\.1 \d\d\d/.test(carry)) carry = ''
        if (open <= PIPELINE / 2) send()
      })
      socket.on('connect', send)
      socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve() : reject(error)))
      socket.on('close', () => resolve())
    })
  await Promise.all(Array.from({ length: CONNECTIONS }, lane))
  return statuses
}

test('200,000 unknown hosts and 200,000 malformed ones create no context and cost no memory', { skip, timeout: 120_000 }, async (t) => {
  const folder = await tenantFolder(t, { 'named.test': COUNTING, '*.sites.test': COUNTING })
  const { port, pid, log } = await serve(t, [folder])
  await askJson(port, 'named.test')
  const unknown = (index: number): string => `GET / HTTP/1.1\r\nHost: h${index}-${index * 7919}.unknown.test\r\n\r\n`
  const malformed = (index: number): string => `GET / HTTP/1.1\r\nHost: h${index} ${index * 7919}..,\r\n\r\n`
  // What any server allocates once, for its first requests: V8 of Node 24 and 26 lets its young generation grow for a while.
  await flood(port, 100_000, unknown)
  await flood(port, 10_000, malformed)
  const before = residentMemory(pid)

  const strangers = await flood(port, REQUESTS, unknown)
  assert.deepEqual([...strangers], [['421', REQUESTS]])
  const between = residentMemory(pid)
  const nonsense = await flood(port, REQUESTS, malformed)
  assert.deepEqual([...nonsense.keys()], ['400'])
  const after = residentMemory(pid)
  t.diagnostic(`memory ${Math.round(before / MB)} → ${Math.round(between / MB)} → ${Math.round(after / MB)} MB`)
  assert.ok(after - before <= 20 * MB, `it grew by ${Math.round((after - before) / MB)} MB`)

  assert.deepEqual((await askJson(port, 'named.test'))['requests'], 2, 'the named tenant is the same context')
  const born = log.filter(({ msg }) => msg === 'context ready')
  assert.deepEqual(born.map((line) => line['label']), [`named.test:${port}`])
  assert.ok(log.length < 2000, `the log has ${log.length} lines`)
})

test('20,000 hosts under a wildcard stay within its caps while the named tenants keep answering', { skip, timeout: 120_000 }, async (t) => {
  const named = ['one.test', 'two.test', 'three.test']
  const folder = await tenantFolder(t, { ...Object.fromEntries(named.map((host) => [host, COUNTING])), '*.sites.test': COUNTING })
  const { port, log } = await serve(t, [
    folder, '--lane', 'relay', '--max-contexts', '10', '--max-groups', '8', '--max-groups-per-pattern', '4', '--max-starts', '100',
  ])
  for (const host of named) await askJson(port, host)
  let done = false
  let asked = 0
  const failures: unknown[] = []
  const regulars = named.map(async (host) => {
    while (!done) {
      const { status, text } = await ask(port, host).catch((error: unknown) => ({ status: 0, text: String(error) }))
      asked++
      if (status !== 200) failures.push([host, status, text])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  const statuses = await flood(port, 20_000, (index) => `GET / HTTP/1.1\r\nHost: h${index}.sites.test\r\n\r\n`)
  done = true
  await Promise.all(regulars)
  t.diagnostic(`${JSON.stringify([...statuses])}, named: ${asked}`)
  assert.deepEqual(failures, [])
  assert.ok(asked >= 2 * named.length, `the named tenants were asked ${asked} times`)
  assert.deepEqual([...statuses.keys()].filter((status) => status !== '200' && status !== '503'), [])
  assert.ok((statuses.get('200') ?? 0) > 0, 'some of them were served')
  for (const host of named) {
    const answer = await askJson(port, host)
    assert.ok((answer['requests'] as number) >= 3, `${host} still has the context that it had: ${JSON.stringify(answer)}`)
  }
  // Never more than four under the wildcard, starting and ending ones left out.
  let alive = 0
  let most = 0
  for (const { msg, label, to, from } of log as readonly Record<string, unknown>[]) {
    if (typeof label !== 'string' || !label.includes('.sites.test') || !String(msg).startsWith('group ')) continue
    if (to === 'serving') most = Math.max(most, ++alive)
    else if (from === 'serving') alive--
  }
  assert.ok(most > 0 && most <= 4, `${most} groups of the wildcard served at once`)
})
