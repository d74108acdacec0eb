// The application that every contender serves, unchanged.
import { readlinkSync } from 'node:fs'

const MEGABYTE = 2 ** 20
const HELLO = 'Hello, World!'
const CHUNK = Buffer.alloc(64 * 1024, 'x')

export default function app(request, response) {
  if (request.url === '/upload') return upload(request, response)
  if (request.url.startsWith('/download/')) return download(response, Number(request.url.slice(10)) * MEGABYTE)
  if (request.url === '/events') return events(response)
  // PID/task/TID: whose CPU is whose; Linux only.
  if (request.url === '/thread') return response.end(readlinkSync('/proc/thread-self'))
  // As frameworks do: some peers are several times slower where an application leaves it to Node.
  response.setHeader('content-length', HELLO.length)
  response.end(HELLO)
}

function upload(request, response) {
  let bytes = 0
  request.on('data', (chunk) => { bytes += chunk.length })
  request.on('end', () => response.end(String(bytes)))
}

function download(response, size) {
  response.setHeader('content-length', size)
  let left = size
  const write = () => {
    while (left > 0) {
      left -= CHUNK.length
      if (!response.write(CHUNK)) {
        response.once('drain', write)
        return
      }
    }
    response.end()
  }
  write()
}

const listeners = new Set()
let ticking

/** An event on each stream a hundred times a second, which says when it was sent. */
function events(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  listeners.add(response)
  response.on('close', () => listeners.delete(response))
  ticking ??= setInterval(() => {
    for (const one of listeners) one.write(`data: ${performance.timeOrigin + performance.now()}\n\n`)
  }, 10).unref()
}
