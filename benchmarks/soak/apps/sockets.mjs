// The work on an http.Server that also takes WebSockets and says back what it hears.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { claim } from './work.mjs'
import { handler } from './node.mjs'

export function serve(name, version) {
  const server = createServer(handler(name, version))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => socket.send(`${claim(name)} ${Buffer.from(data).toString()}`))
    socket.on('error', () => {})
  })
  server.listen(3000)
}
