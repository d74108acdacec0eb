import type http from 'node:http'
import type net from 'node:net'

/**
 * Requests of one connection that may wait behind another. What Node has read is parsed at once, up to 64 KiB of it: more
 * than 3,000 requests, for each of which the front would do its work before it turns to anybody else. Clients that
 * pipeline send a few dozen.
 */
const MAX_WAITING = 256

/** The responses of a connection that wait for their turn on it. */
const waiting = new WeakMap<net.Socket, Set<http.ServerResponse>>()

/**
 * A response behind others on its connection (pipelining) has no socket yet, and
 * node:http tells it nothing when that closes: without this, such a request would
 * hold its slot for ever. One listener for a connection, however many wait.
 * False when too many do: then the connection is cut, and nobody is to serve the request.
 */
export function closeWithConnection(req: http.IncomingMessage, res: http.ServerResponse): boolean {
  if (res.socket !== null) return true
  const { socket } = req
  if (socket.destroyed) return false
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
  if (all.size >= MAX_WAITING) {
    socket.destroy()
    return false
  }
  all.add(res)
  res.once('close', () => all.delete(res))
  return true
}
