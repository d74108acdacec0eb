import { readdirSync } from 'node:fs'
import { once } from 'node:events'
import net from 'node:net'
import type { TestContext } from 'node:test'

/** How many descriptors this process has open; the look itself takes one, each time. */
export function openCount(): number {
  return readdirSync('/proc/self/fd').length
}

export interface Connected {
  /** The server's end; nothing reads it. */
  readonly socket: net.Socket
  readonly client: net.Socket
}

/** A connection over TCP, or over a Unix socket at `path`, with both ends here and unread. */
export async function connected(t: TestContext, path?: string): Promise<Connected> {
  const server = net.createServer({ pauseOnConnect: true }).listen(path ?? { port: 0, host: '127.0.0.1' })
  t.after(() => server.close())
  await once(server, 'listening')
  const client = path === undefined ? net.connect((server.address() as net.AddressInfo).port, '127.0.0.1') : net.connect(path)
  if (path !== undefined) client.pause()
  t.after(() => client.destroy())
  client.on('error', () => {})
  const [socket] = await once(server, 'connection') as [net.Socket]
  server.close()
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  return { socket, client }
}

/** What a client has seen of its connection. */
export function watch(client: net.Socket): { text: string; over: boolean } {
  const seen = { text: '', over: false }
  client.on('data', (chunk: Buffer) => { seen.text += chunk.toString('latin1') })
  client.on('close', () => { seen.over = true })
  client.on('end', () => { seen.over = true })
  return seen
}
