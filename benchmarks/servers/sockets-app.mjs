// A program that listens, as it would run alone: the application, and WebSockets that say back what they hear.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import app from './app.mjs'

const server = createServer(app)
const sockets = new WebSocketServer({ server })
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
})
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
