import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson } from './client.ts'
import { openHouse } from './house.ts'

const FACTS = `
export default (req, res) => res.end(JSON.stringify({
  group: process.env.TENANTRY_APPLICATION_GROUP, host: req.headers.host, forwarded: req.headers['x-forwarded-for'],
  address: req.socket.remoteAddress, port: req.socket.remotePort, family: req.socket.remoteFamily,
  encrypted: req.socket.encrypted === true,
}))
`
const HOSTS = { 'a.test': FACTS, 'b.test': FACTS }
const headers = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'b.test', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' }

test('without trustProxy nothing that a client forwards is believed', async (t) => {
  const { port } = await openHouse(t, HOSTS)
  const facts = await askJson(port, 'a.test', '/', { headers })
  assert.deepEqual([facts['group'], facts['address'], facts['family'], facts['encrypted']], [`a.test:${port}`, '127.0.0.1', 'IPv4', false])
  assert.ok((facts['port'] as number) > 0)
  assert.equal(facts['forwarded'], '203.0.113.9', 'the application still sees what was sent')
})

test('a trusted proxy decides the host, the address and the scheme', async (t) => {
  for (const trustProxy of [true, 1, 'loopback', ['127.0.0.0/8']] as const) {
    const { port } = await openHouse(t, HOSTS, { trustProxy })
    const facts = await askJson(port, 'a.test', '/', { headers })
    assert.match(String(facts['group']), /^b\.test/, JSON.stringify(trustProxy))
    assert.deepEqual([facts['address'], facts['encrypted']], ['203.0.113.9', true])
    const plain = await askJson(port, 'a.test')
    assert.deepEqual([plain['group'], plain['address']], [`a.test:${port}`, '127.0.0.1'])
  }
})

test('a proxy that is not on the list is not believed, and a chain is read from its near end', async (t) => {
  const { port } = await openHouse(t, HOSTS, { trustProxy: ['10.0.0.0/8'] })
  assert.equal((await askJson(port, 'a.test', '/', { headers }))['address'], '127.0.0.1')
  const one = await openHouse(t, HOSTS, { trustProxy: 1 })
  const chain = { 'x-forwarded-for': '198.51.100.66, 203.0.113.9' }
  assert.equal((await askJson(one.port, 'a.test', '/', { headers: chain }))['address'], '203.0.113.9', 'the far end is what a client wrote')
})

test('nonsense from a trusted proxy is refused or ignored, never served as another host', async (t) => {
  const { port, runtime } = await openHouse(t, HOSTS, { trustProxy: true })
  for (const host of ['b.test/evil', 'b test', 'user@b.test', '']) {
    const { status, text } = await ask(port, 'a.test', '/', { headers: { 'x-forwarded-host': host } })
    assert.ok(status === 400 || (status === 200 && text.includes('"group":"a.test')), `'${host}' was answered ${status}: ${text}`)
  }
  const odd = await ask(port, 'a.test', '/', { headers: { 'x-forwarded-for': 'unknown, <script>', 'x-forwarded-port': 'abc', 'x-forwarded-proto': 'gopher' } })
  assert.ok(odd.status === 200 || odd.status === 400)
  assert.ok(runtime.stats().births <= 1)
})

test('clients behind one connection of a proxy each keep their own address', async (t) => {
  const { Agent } = await import('node:http')
  const { port } = await openHouse(t, HOSTS, { trustProxy: true })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  for (const address of ['203.0.113.1', '203.0.113.2', '2001:db8::3', '203.0.113.1']) {
    const facts = await askJson(port, 'a.test', '/', { agent, headers: { 'x-forwarded-for': address } })
    assert.deepEqual([facts['address'], facts['family']], [address, address.includes(':') ? 'IPv6' : 'IPv4'])
  }
})
