// The application that every contender serves, unchanged.
const MEGABYTE = 2 ** 20
const HELLO = 'Hello, World!'
const CHUNK = Buffer.alloc(64 * 1024, 'x')

export default function app(request, response) {
  if (request.url === '/upload') return upload(request, response)
  if (request.url.startsWith('/download/')) return download(response, Number(request.url.slice(10)) * MEGABYTE)
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
