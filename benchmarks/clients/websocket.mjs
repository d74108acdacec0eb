// Sends a message on each of many WebSockets and waits for its echo, again and again: websocket.mjs URL '{…}'.
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { percentiles } from './percentiles.mjs'

const [, , url, text] = process.argv
const { host, connections, seconds } = JSON.parse(text)
const times = []
const until = performance.now() + seconds * 1000

const sockets = Array.from({ length: connections }, () => new WebSocket(url.replace('http', 'ws'), { headers: { host }, perMessageDeflate: false }))
await Promise.all(sockets.map((socket) => once(socket, 'open')))
const since = performance.now()
await Promise.all(sockets.map(talk))
const took = (performance.now() - since) / 1000
console.log(JSON.stringify({ requests: times.length, seconds: took, errors: 0, bytes: 0, ...percentiles(times) }))

function talk(socket, number) {
  return new Promise((resolve, reject) => {
    let count = 0
    let sent
    const send = () => {
      sent = performance.now()
      socket.send(`${number}:${count}`)
    }
    socket.on('error', reject)
    socket.on('message', (data) => {
      if (data.toString() !== `${number}:${count}`) return reject(new Error(`${number}:${count} came back as ${data.toString()}`))
      times.push(performance.now() - sent)
      count += 1
      if (performance.now() < until) return send()
      socket.terminate()
      resolve()
    })
    send()
  })
}
