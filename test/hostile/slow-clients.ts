import assert from 'node:assert/strict'
import { head, Raw } from './raw.ts'
import { sleep } from './siege.ts'
import type { Siege, Watched } from './siege.ts'

/** How long slow clients are there, before and during the attack. Milliseconds. */
const WARM_UP = 200
const STAY = 800

/** Stays for so many milliseconds. */
type SlowClient = (port: number, stay: number, index: number) => Promise<Raw>

export function slowAttack(client: SlowClient): Watched {
  const attack = (stay: number) => ({ port }: Siege): Promise<void> => together(200, (index) => client(port, stay, index))
  return { warmUp: attack(WARM_UP), attack: attack(STAY) }
}

/** What so many clients do at the same time; then all leave, half of them without a word. */
async function together(count: number, client: (index: number) => Promise<Raw>): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, (_, index) => client(index)))
  for (const [index, raw] of clients.entries()) raw.leave(index % 2 === 0 ? 'end' : 'reset')
  await Promise.all(clients.map((raw) => raw.closed))
}

/** Sends a byte after the other. */
async function drip(port: number, stay: number, first: string, drops: string): Promise<Raw> {
  const raw = await Raw.open(port)
  raw.send(first)
  const until = performance.now() + stay
  for (let at = 0; performance.now() < until && !raw.socket.destroyed; at++) {
    raw.send(drops[at % drops.length] as string)
    await sleep(25)
  }
  return raw
}

async function linger(port: number, stay: number, first: string, rest?: Uint8Array, reads = true): Promise<Raw> {
  const raw = await Raw.open(port, reads)
  raw.send(first)
  if (rest !== undefined) raw.send(rest)
  await sleep(stay)
  return raw
}

const upload = (path: string, length: number): string => head('POST', path, `Content-Length: ${length}`)
const MEGABYTE = new Uint8Array(1024 ** 2)

export const SLOW_CLIENTS = {
  'send a head byte by byte': (port, stay) => drip(port, stay, 'GET / HTTP/1.1\r\nHost: victim.test\r\n', 'X: slow\r\n'),
  'send half a request and nothing more': (port, stay, index) => {
    const whole = upload('/echo', 20) + 'x'.repeat(20)
    return linger(port, stay, whole.slice(0, index % whole.length))
  },
  'say nothing at all': (port, stay) => linger(port, stay, ''),
  'send a body byte by byte': (port, stay, index) => drip(port, stay, upload(index % 2 === 0 ? '/read' : '/echo', 1e6), 'x'),
  'send a chunked body byte by byte': (port, stay) =>
    drip(port, stay, head('POST', '/read', 'Transfer-Encoding: chunked'), '3;ext=1\r\nabc\r\n'),
  'stop in the middle of an upload': (port, stay, index) =>
    linger(port, stay, upload(index % 2 === 0 ? '/read' : '/echo', 1e6), MEGABYTE.subarray(0, 250_000)),
  'upload to an application that does not read': (port, stay) => linger(port, stay, upload('/hang', 1e7), MEGABYTE),
  'not read what they asked for': (port, stay) => linger(port, stay, head('GET', '/endless'), undefined, false),
  'read a kilobyte at a time': async (port, stay) => {
    const raw = await Raw.open(port, false)
    raw.send(head('GET', '/endless'))
    const until = performance.now() + stay
    for (; performance.now() < until; await sleep(25)) raw.socket.read(Math.min(1024, raw.socket.readableLength || 1024))
    return raw
  },
  'wait for an answer that never comes': (port, stay) => linger(port, stay, head('GET', '/hang')),
  'send half a frame of a WebSocket': async (port, stay) => {
    const raw = await Raw.open(port)
    raw.send(head('GET', '/', 'Connection: Upgrade', 'Upgrade: raw'))
    assert.ok(await raw.until('101 Switching'))
    // The head of a masked frame of 64 KiB, and no more than its beginning.
    raw.send(Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]), Buffer.alloc(1000)]))
    await sleep(stay)
    return raw
  },
} satisfies Record<string, SlowClient>
