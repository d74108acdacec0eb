import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually, Wire } from '../behaviour/client.ts'
import { openHouse } from '../behaviour/house.ts'

const APP = `
let first
export default (req, res) => {
  if (req.url === '/hang') { first = res; return }
  if (req.url === '/free') first.end('at last')
  res.end('fine')
}
`

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`

test('256 requests may wait behind one on their connection, and are answered in their turn', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP })
  // A group that starts has a shorter queue of its own.
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send(get('/hang') + get('/').repeat(255) + get('/free'))
  await eventually('all are answered', () => wire.text.split('fine').length === 257)
  assert.match(wire.text, /^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\nat lastHTTP/)
  assert.equal(wire.ended, false)
})

test('with one more the connection is cut, and everything that waited is given up', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP })
  const wire = await Wire.open(t, port)
  wire.send(get('/hang') + get('/').repeat(3000))
  // Cut, or ended where the context had read all of it.
  assert.equal(await wire.rest(), '')
  await eventually('no lease is held', () => runtime.stats().inFlight === 0 && runtime.stats().queued === 0)
  const other = await Wire.open(t, port)
  other.send(get('/'))
  await other.until('fine')
  await eventually('it was answered', () => runtime.stats().inFlight === 0)
})
