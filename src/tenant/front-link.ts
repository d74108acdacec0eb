import { Buffer } from 'node:buffer'
import net from 'node:net'
import { SocketCarrier } from '../wire/socket-carrier.ts'
import type { FrontAddress } from '../wire/boot-request.ts'

/** The relay of a context that runs in another process than its front; rejects when the front is not there. */
export async function connectFront(
  { path, token }: FrontAddress, onBatch: (batch: unknown) => void, onClose: () => void,
): Promise<SocketCarrier> {
  const socket = net.connect(path)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  const carrier = new SocketCarrier(onBatch, onClose)
  socket.write(token)
  carrier.attach(socket, Buffer.alloc(0))
  return carrier
}
