// A neighbour that does what the path says.
const SPIN = 50

export default function app(request, response) {
  if (request.url === '/crash') {
    setImmediate(() => { throw new Error('as asked') })
    return
  }
  if (request.url === '/spin') for (const until = performance.now() + SPIN; performance.now() < until;);
  if (request.url === '/allocate') allocate()
  response.end('Hello, Other!')
}

/** Some 40 MB of objects that live just long enough to be collected as old ones. */
function allocate() {
  const all = []
  for (let index = 0; index < 400_000; index += 1) all.push({ index, text: `item ${index}` })
  return all.length
}
