// A second tenant: whoever serves hosts must give each its own application.
import { readlinkSync } from 'node:fs'

const HELLO = 'Hello, Other!'

export default function app(request, response) {
  if (request.url === '/thread') return response.end(readlinkSync('/proc/thread-self'))
  response.setHeader('content-length', HELLO.length)
  response.end(HELLO)
}
