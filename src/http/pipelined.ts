import type http from 'node:http'
import type net from 'node:net'

/** The responses of a connection that wait for their turn on it. */
const waiting = new WeakMap<net.Socket, Set<http.ServerResponse>>()

/**
 * A response behind others on its connection (pipelining) has no socket yet, and
 * node:http tells it nothing when that closes: without this, such a request would
 * hold its slot for ever. One listener for a connection, however many wait.
 */
export function closeWithConnection(req: http.IncomingMessage, res: http.ServerResponse): void {
  if (res.socket !== null) return
  const { socket } = req
  let responses = waiting.get(socket)
  if (responses === undefined) {
    const made = (responses = new Set())
    waiting.set(socket, made)
    socket.once('close', () => {
      for (const response of made) {
        if (response.socket !== null) continue
        response.destroy()
        response.emit('close')
      }
    })
  }
  const all = responses
  all.add(res)
  res.once('close', () => all.delete(res))
}
