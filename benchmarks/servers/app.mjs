// The application that every contender serves, unchanged.
const SIZE = 100 * 1024 * 1024
const CHUNK = Buffer.alloc(64 * 1024, 'x')

export default function app(request, response) {
  if (request.url === '/upload') return upload(request, response)
  if (request.url === '/download') return download(response)
  response.end('Hello, World!')
}

function upload(request, response) {
  let bytes = 0
  request.on('data', (chunk) => { bytes += chunk.length })
  request.on('end', () => response.end(String(bytes)))
}

function download(response) {
  response.setHeader('content-length', SIZE)
  let left = SIZE
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
