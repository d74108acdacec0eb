// Requests over TLS, a thread for each host: tls.mjs URL '{"answers":{"HOST":"BODY"},"mode":"kept"}'. wrk sends the address that it
// connects to as the server name, which chooses no tenant. `mode`: `kept`, one request after another on each connection;
// `new`, a connection and a full handshake for each; `resumed`, likewise with the session of the one before.
import { once } from 'node:events'
import { connect, createSecureContext } from 'node:tls'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { percentiles } from './percentiles.mjs'

if (isMainThread) {
  const [, , url, text] = process.argv
  const { answers, ...settings } = JSON.parse(text)
  const found = await Promise.all(Object.entries(answers).map(async ([host, body]) => {
    const [one] = await once(new Worker(new URL(import.meta.url), { workerData: { ...settings, url, host, body } }), 'message')
    return one
  }))
  const times = found.flatMap((one) => one.times)
  const seconds = Math.max(...found.map((one) => one.seconds))
  console.log(JSON.stringify({ requests: times.length, seconds, errors: 0, bytes: 0, ...percentiles(times) }))
} else {
  parentPort.postMessage(await drive(workerData))
}

async function drive({ url, host, body, connections, seconds, mode }) {
  const { hostname, port, pathname } = new URL(url)
  const kept = mode === 'kept'
  // One context for all: without it each connection reads every root certificate of Node's.
  const options = { host: hostname, port: Number(port), servername: host, rejectUnauthorized: false, secureContext: createSecureContext() }
  const request = `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${kept ? '' : 'Connection: close\r\n'}\r\n`
  const times = []
  let resumed = 0
  const since = performance.now()
  const until = since + seconds * 1000
  await Promise.all(Array.from({ length: connections }, async () => {
    if (kept) await ask(options, request, body, (milliseconds) => times.push(milliseconds) && performance.now() < until)
    let session
    while (performance.now() < until) {
      const socket = await ask({ ...options, session }, request, body, (milliseconds) => void times.push(milliseconds))
      if (socket.resumed) resumed += 1
      if (mode === 'resumed') session = socket.lastSession ?? session
    }
  }))
  // Each loop's first connection has nothing to resume.
  const wanted = mode === 'resumed' ? times.length - connections : 0
  if (resumed !== wanted) throw new Error(`${resumed} of ${times.length} connections resumed a session, not ${wanted}`)
  return { times, seconds: (performance.now() - since) / 1000 }
}

/** A connection, and requests on it for as long as `again` says so to what one took: the handshake counts for the first. */
function ask(options, request, body, again) {
  return new Promise((resolve, reject) => {
    let since = performance.now()
    let answer = ''
    const socket = connect(options, () => {
      // It does not say any more once it is closed.
      socket.resumed = socket.isSessionReused()
      socket.write(request)
    })
    socket.setNoDelay(true)
    socket.on('session', (session) => { socket.lastSession = session })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`it closed after ${JSON.stringify(answer)}`)))
    socket.setEncoding('latin1').on('data', (piece) => {
      answer += piece
      if (!answer.endsWith(body)) return
      if (!answer.startsWith('HTTP/1.1 200 ')) return void socket.destroy(new Error(`it answered ${answer}`))
      const now = performance.now()
      answer = ''
      if (again(now - since)) {
        since = now
        socket.write(request)
      } else {
        resolve(socket)
        socket.destroy()
      }
    })
  })
}
