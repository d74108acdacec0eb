import { once } from 'node:events'
import net from 'node:net'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { appFile, startEntry } from '../context/start.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { LiveContext } from '../../src/context/live-context.ts'
import type { Overrides } from '../context/start.ts'

export const skip: string | false =
  openDescriptors() === undefined && 'neither koffi nor node:ffi is here, or this is not 64-bit Linux'

export interface HandingFront {
  readonly port: number
  readonly context: LiveContext
}

/** The smallest front of the hand-off lane: it reads once, and whatever that was, the connection moves into the context. */
export async function handEntry(t: TestContext, entry: string, overrides: Overrides = {}): Promise<HandingFront> {
  const context = startEntry(t, entry, overrides)
  await context.ready
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', (first) => {
      socket.pause()
      if (!context.handOver({ socket, first, hosts: ['a.test'] })) socket.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, context }
}

export function handSource(t: TestContext, source: string, overrides: Overrides = {}): Promise<HandingFront> {
  return handEntry(t, appFile(t, source, overrides.name), overrides)
}
