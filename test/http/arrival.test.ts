import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { TenantryError } from '../../src/errors.ts'
import { Arrival } from '../../src/http/arrival.ts'
import { takeEarlyRefusal } from '../../src/http/early-refusal.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { OfferedConnection } from '../../src/context/context.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { ArrivalHost } from '../../src/http/arrival.ts'
import type { ReadOpening } from '../../src/http/opening.ts'

/** One connection that has arrived, and what is heard of it. */
async function arrive(t: TestContext, read: ReadOpening, acquire?: ArrivalHost['acquire']): Promise<{ client: net.Socket; server: net.Socket; heard: string[] }> {
  const listening = net.createServer().listen(0, '127.0.0.1')
  t.after(() => listening.close())
  await once(listening, 'listening')
  const client = net.connect((listening.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => client.destroy())
  const [server] = (await once(listening, 'connection')) as [net.Socket]
  t.after(() => server.destroy())
  const heard: string[] = []
  const host: ArrivalHost = {
    read,
    acquire: acquire ?? (() => { throw new Error('nobody is asked for a slot') }),
    onSpoken: () => heard.push('spoken'),
    onOver: () => {},
    onHandedOver: () => heard.push('handed over'),
    onReturned: () => {},
    onStay(_socket, reason) {
      heard.push(reason)
      server.emit('stayed')
    },
  }
  new Arrival(server, host, Infinity)
  return { client, server, heard }
}

/** What can be read of it without waiting; Node 26 gives it piece by piece. */
function rest(socket: net.Socket): string {
  let text = ''
  for (let part = socket.read() as Buffer | null; part !== null; part = socket.read() as Buffer | null) text += part.toString()
  return text
}

test('a connection that is refused at its first bytes waits for nothing any more, whether the refusal comes at once or later', async (t) => {
  const refusal = new TenantryError('ERR_HOST_NOT_ALLOWED', 'no')
  for (const read of [() => { throw refusal }, () => Promise.reject(refusal)]) {
    const { client, server, heard } = await arrive(t, read)
    client.write('hello')
    await once(server, 'stayed')
    assert.deepEqual(heard, ['spoken', 'refused'])
    assert.equal(takeEarlyRefusal(server), refusal)
    assert.equal(rest(server), 'hello')
  }
})

test('bytes that are not enough are kept until they are, and put back as they came', async (t) => {
  const seen: string[] = []
  const { client, server, heard } = await arrive(t, (_socket, bytes) => {
    seen.push(String(bytes))
    return bytes.length < 6 ? 'partial' : 'hello'
  })
  for (const part of ['ab', 'cd', 'ef']) {
    client.write(part)
    const before = seen.length
    while (seen.length === before) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.deepEqual(seen, ['ab', 'abcd', 'abcdef'])
  assert.deepEqual(heard, ['spoken', 'hello'])
  assert.equal(rest(server), 'abcdef')
})

test('of what a client sends while its group starts a bounded part is read, and all that was read moves along', async (t) => {
  let grant: (lease: Lease) => void = () => {}
  const target = {} as GroupTarget
  const { client, server, heard } = await arrive(t, () => ({ target, hosts: ['a.test'] }), () => new Promise((resolve) => { grant = resolve }))
  const sent = Buffer.alloc(8_000_000, 'x')
  client.write(sent)
  // Until nothing more is read: the kernel holds the rest.
  for (let before = -1; before < server.bytesRead || server.bytesRead === 0;) {
    before = server.bytesRead
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  assert.ok(server.bytesRead < 300_000, `${server.bytesRead} bytes`)
  let moved: { readonly bytes: number; readonly read: number; readonly left: number } | undefined
  grant({
    handOver: ({ socket, first }: OfferedConnection) => {
      moved = { bytes: first.byteLength, read: socket.bytesRead, left: socket.readableLength }
      return true
    },
  } as Lease)
  while (moved === undefined) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([moved.bytes, moved.left], [moved.read, 0])
  assert.deepEqual(heard, ['spoken', 'handed over'])
})
