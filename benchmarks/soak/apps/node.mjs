// The work as a (request, response) function.
import { createHash } from 'node:crypto'
import { claim, faults, LARGE, PIECE, PIECES } from './work.mjs'

export function handler(name, version) {
  const routes = {
    '/stream': stream,
    '/upload': upload,
    '/large': (_, response) => response.end(Buffer.alloc(LARGE, 'x')),
  }
  return (request, response) => {
    const fault = faults[request.url.slice('/fault/'.length)]
    if (request.url.startsWith('/fault/') && fault !== undefined) return fault()
    const route = routes[request.url]
    if (route !== undefined) return route(request, response)
    response.setHeader('x-version', version)
    response.end(claim(name))
  }
}

function stream(_, response) {
  let left = PIECES
  const timer = setInterval(() => {
    response.write(Buffer.alloc(PIECE, 'x'))
    left -= 1
    if (left > 0) return
    clearInterval(timer)
    response.end()
  }, 15)
  response.on('close', () => clearInterval(timer))
}

function upload(request, response) {
  const hash = createHash('sha256')
  request.on('data', (piece) => hash.update(piece)).on('end', () => response.end(hash.digest('hex'))).on('error', () => {})
}
