// Works in the background and ends in good order: what `tenantry/tenant` is for. It also runs under plain `node`.
import { label, onDrain, waitUntil } from 'tenantry/tenant'

let requests = 0
let unwritten = 0

/** Stands for a batch that goes to a database. */
async function write() {
  const visits = unwritten
  unwritten = 0
  await new Promise((resolve) => setTimeout(resolve, 10))
  console.log(`${visits} visits written`)
}

// The context is replaced, evicted or closed: it ends when this is done.
onDrain(() => (unwritten > 0 ? write() : undefined))

export default function handle(request, response) {
  requests += 1
  unwritten += 1
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ application: 'life', requests, group: label }))
  // After the answer; the context does not end before it is over.
  if (unwritten === 10) waitUntil(write())
}
