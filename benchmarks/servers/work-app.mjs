// An application that computes for each request, in its own thread: a quarter of a millisecond or so.
import { createHash } from 'node:crypto'
import { readlinkSync } from 'node:fs'

const HELLO = 'Hello, World!'
const BLOCK = Buffer.alloc(128 * 1024, 'x')

export default function app(request, response) {
  if (request.url === '/thread') return response.end(readlinkSync('/proc/thread-self'))
  createHash('sha256').update(BLOCK).digest()
  response.setHeader('content-length', HELLO.length)
  response.end(HELLO)
}
