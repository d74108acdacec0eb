import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { head, Raw } from './raw.ts'
import { COMMAND, Siege, skip, sleep } from './siege.ts'

let siege: Siege
before(async () => { if (skip === false) siege = await Siege.open(COMMAND) })
after(() => siege?.close())

/** How long slow clients are there. Milliseconds. */
const STAY = 800

/** What so many clients do at the same time; then all leave, half of them without a word. */
async function together(count: number, client: (index: number) => Promise<Raw>): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, (_, index) => client(index)))
  for (const [index, raw] of clients.entries()) raw.leave(index % 2 === 0 ? 'end' : 'reset')
  await Promise.all(clients.map((raw) => raw.closed))
}

/** Sends a byte after the other. */
async function drip(port: number, first: string, drops: string): Promise<Raw> {
  const raw = await Raw.open(port)
  raw.send(first)
  const until = performance.now() + STAY
  for (let at = 0; performance.now() < until && !raw.socket.destroyed; at++) {
    raw.send(drops[at % drops.length] as string)
    await sleep(25)
  }
  return raw
}

async function linger(port: number, first: string, rest?: Uint8Array, reads = true): Promise<Raw> {
  const raw = await Raw.open(port, reads)
  raw.send(first)
  if (rest !== undefined) raw.send(rest)
  await sleep(STAY)
  return raw
}

const upload = (path: string, length: number): string => head('POST', path, `Content-Length: ${length}`)
const MEGABYTE = new Uint8Array(1024 ** 2)

const CLIENTS: Readonly<Record<string, (port: number, index: number) => Promise<Raw>>> = {
  'send a head byte by byte': (port) => drip(port, 'GET / HTTP/1.1\r\nHost: victim.test\r\n', 'X: slow\r\n'),
  'send half a request and nothing more': (port, index) => {
    const whole = upload('/echo', 20) + 'x'.repeat(20)
    return linger(port, whole.slice(0, index % whole.length))
  },
  'say nothing at all': (port) => linger(port, ''),
  'send a body byte by byte': (port, index) => drip(port, upload(index % 2 === 0 ? '/read' : '/echo', 1e6), 'x'),
  'send a chunked body byte by byte': (port) =>
    drip(port, head('POST', '/read', 'Transfer-Encoding: chunked'), '3;ext=1\r\nabc\r\n'),
  'stop in the middle of an upload': (port, index) =>
    linger(port, upload(index % 2 === 0 ? '/read' : '/echo', 1e6), MEGABYTE.subarray(0, 250_000)),
  'upload to an application that does not read': (port) => linger(port, upload('/hang', 1e7), MEGABYTE),
  'not read what they asked for': (port) => linger(port, head('GET', '/endless'), undefined, false),
  'read a kilobyte at a time': async (port) => {
    const raw = await Raw.open(port, false)
    raw.send(head('GET', '/endless'))
    const until = performance.now() + STAY
    for (; performance.now() < until; await sleep(25)) raw.socket.read(Math.min(1024, raw.socket.readableLength || 1024))
    return raw
  },
  'wait for an answer that never comes': (port) => linger(port, head('GET', '/hang')),
  'send half a frame of a WebSocket': async (port) => {
    const raw = await Raw.open(port)
    raw.send(head('GET', '/', 'Connection: Upgrade', 'Upgrade: raw'))
    assert.ok(await raw.until('101 Switching'))
    // The head of a masked frame of 64 KiB, and no more than its beginning.
    raw.send(Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]), Buffer.alloc(1000)]))
    await sleep(STAY)
    return raw
  },
}

for (const [name, client] of Object.entries(CLIENTS)) {
  test(`two hundred clients may ${name}`, { skip }, async (t) => {
    const attack = ({ port }: Siege): Promise<void> => together(200, (index) => client(port, index))
    await siege.withstands(t, { warmUp: attack, attack })
  })
}
