import assert from 'node:assert/strict'
import { head, many, Raw } from './raw.ts'
import type { Siege, Watched } from './siege.ts'

const WAYS = ['end', 'reset'] as const

/** Whole exchanges; a client leaves at every byte of each. */
export const EXCHANGES = {
  'a request without a body': head('GET', '/', 'Connection: close'),
  'a body with its length': `${head('POST', '/echo', 'Connection: close', 'Content-Length: 20')}${'x'.repeat(20)}`,
  'a chunked body': `${head('POST', '/echo', 'Connection: close', 'Transfer-Encoding: chunked')}5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: t\r\n\r\n`,
  'an answer in chunks': head('GET', '/pieces', 'Connection: close'),
  'an upgrade': `${head('GET', '/', 'Connection: Upgrade', 'Upgrade: raw')}some bytes`,
}

/** A client for each byte of a request, which leaves behind it. */
export function leaveWithin(request: string): Watched {
  const attack = async ({ port }: Siege): Promise<void> => {
    await many(WAYS.length * request.length, 20, async (index) => {
      const raw = await Raw.open(port)
      raw.send(request.slice(0, index >> 1))
      // A turn of the loop, so that the byte before is a packet of its own.
      await new Promise((resolve) => { setImmediate(resolve) })
      raw.leave(WAYS[index & 1])
      await raw.closed
    })
  }
  return { warmUp: attack, attack }
}

/** The same for each byte of the answer. */
export async function leaveWithinAnswer(siege: Siege, path: '/' | '/pieces'): Promise<Watched> {
  const whole = await Raw.open(siege.port)
  whole.send(head('GET', path, 'Connection: close'))
  await whole.closed
  const { length } = whole.text
  assert.match(whole.text, path === '/' ? /Content-Length: 4\r\n/i : /chunked\r\n[^]*0\r\n\r\n$/i)
  const attack = async ({ port }: Siege): Promise<void> => {
    await many(WAYS.length * length, 20, async (index) => {
      const raw = await Raw.open(port, false)
      raw.send(head('GET', path))
      await readExactly(raw, index >> 1)
      raw.leave(WAYS[index & 1])
      await raw.closed
    })
  }
  return { warmUp: attack, attack }
}

/** Takes so many bytes and no more. */
async function readExactly({ socket }: Raw, count: number): Promise<void> {
  let left = count
  while (left > 0 && !socket.destroyed) {
    const bytes = socket.read(Math.min(left, Math.max(1, socket.readableLength))) as Uint8Array | null
    if (bytes !== null) left -= bytes.byteLength
    else await new Promise((resolve) => { socket.once('readable', resolve).once('close', resolve) })
  }
}
