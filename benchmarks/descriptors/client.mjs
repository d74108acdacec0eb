// Clients as they come: one request or some, in one piece or two, with an end or without.
import net from 'node:net'

/** Longest life of a client; milliseconds. */
const LONGEST = 15_000

/** One connection: 'right', 'wrong' (another host's answer), 'refused', 'cut' (ended by the server first), 'left' (by us). */
export function openClient(port, host, path, random) {
  let resolve
  const promise = new Promise((found) => { resolve = found })
  const manner = random()
  // A context that dies before it has answered anything waits longer each time before it starts again.
  const deadly = path === '/exit' || path === '/throw'
  const requests = deadly ? 2 : manner < 0.5 ? 1 : 1 + Math.floor(random() * 3)
  const socket = net.connect(port, '127.0.0.1')
  let [text, asked, outcome] = ['', 0, 'cut']
  const finish = (as) => {
    outcome = as
    socket.destroy()
  }
  const ask = () => {
    asked++
    const last = asked === requests && manner < 0.8
    const head = `GET ${deadly && asked < 2 ? '/' : path} HTTP/1.1\r\nHost: ${host}\r\n${last ? 'Connection: close\r\n' : ''}\r\n`
    // In two pieces it is nothing that the fast lane takes.
    if (manner >= 0.45 && manner < 0.5) return void socket.write(head.slice(0, 9), () => socket.write(head.slice(9)))
    socket.write(head)
  }
  socket.on('connect', () => {
    if (manner < 0.03) return finish('left')
    ask()
    if (manner < 0.06) return void setImmediate(finish, 'left')
    if (manner < 0.1) socket.end()
  })
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    const found = /^HTTP\/1\.1 (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text)
    if (found === null) return
    const [, status, body] = found
    if (status !== '200') return finish('refused')
    // Its length is known: a chunk of it, or all.
    if (!body.includes(host) && body.length < host.length) return
    if (!body.includes(host)) return finish('wrong')
    text = ''
    if (asked < requests && !socket.writableEnded) ask()
    else finish('right')
  })
  socket.on('error', () => {})
  socket.setTimeout(LONGEST, () => finish('cut'))
  socket.once('close', () => resolve(outcome))
  return promise
}
