import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import proxyAddr from '@fastify/proxy-addr'
import type { IncomingMessage } from 'node:http'
import { createTrust, forwardedFacts, type ClientFacts, type TrustOption } from '../../src/label/trust.ts'
import type { RequestFacts } from '../../src/label/request-facts.ts'

const PEER: ClientFacts = { clientAddress: '10.0.0.1', clientPort: 5000, encrypted: false }
const PROXIES = ['10.0.0.0/8']

function ask(
  option: TrustOption, headers: Readonly<Record<string, string>>, peer: Partial<ClientFacts> = {},
): ClientFacts {
  return createTrust(option)({ ...PEER, ...peer }, Object.entries(headers).flat())
}

const ALL = {
  'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Host': 'Shop.test',
  'X-Forwarded-Port': '8443', 'X-Forwarded-Proto': 'https',
}

test('by default nobody is trusted: the answer is the very facts of the socket', () => {
  const rawHeaders = new Proxy<string[]>([], { get: () => assert.fail('the headers were looked at') })
  for (const option of [undefined, false, 0, []]) assert.equal(createTrust(option)(PEER, rawHeaders), PEER)
})

test('a peer that is not trusted is taken at its socket, whatever it says', () => {
  for (const option of ['192.0.2.0/24', ['loopback', '::1'], 'uniquelocal']) {
    const peer = { ...PEER, clientAddress: '203.0.113.9' }
    assert.equal(createTrust(option)(peer, Object.entries({ ...ALL, 'X-Forwarded-Host': 'a b' }).flat()), peer)
  }
})

test('a trusted peer says who asks, for which host and port, and whether encrypted', () => {
  for (const option of [true, 1, '10.0.0.0/8', PROXIES, 'loopback, uniquelocal']) {
    assert.deepEqual(ask(option, ALL), {
      clientAddress: '192.0.2.7', clientPort: undefined, encrypted: true, host: 'shop.test', port: 8443,
    })
  }
})

test('a trusted peer that says nothing is the client itself', () => {
  const said = { clientAddress: '10.0.0.1', clientPort: 5000, encrypted: false, host: undefined, port: undefined }
  assert.deepEqual(ask(PROXIES, {}), said)
  assert.deepEqual(ask(PROXIES, { 'X-Forwarded-Host': ' ', 'X-Forwarded-Port': '', 'X-Forwarded-Proto': '' }), said)
})

test('the client is the nearest address that is not trusted: what it sent itself does not count', () => {
  const headers = { 'X-Forwarded-For': '1.1.1.1, 192.0.2.7, 10.0.0.2' }
  assert.equal(ask(PROXIES, headers).clientAddress, '192.0.2.7')
  assert.equal(ask(2, headers).clientAddress, '192.0.2.7')
  assert.equal(ask(1, headers).clientAddress, '10.0.0.2')
  assert.equal(ask(true, headers).clientAddress, '1.1.1.1')
})

test('host, port and scheme are those that the outermost trusted proxy was asked for', () => {
  const headers = {
    'X-Forwarded-For': '1.1.1.1, 192.0.2.7, 10.0.0.2',
    'X-Forwarded-Host': 'evil.test, shop.test:81, inner.test',
    'X-Forwarded-Proto': 'http, https, http',
  }
  const { host, port, encrypted } = ask(PROXIES, headers)
  assert.deepEqual({ host, port, encrypted }, { host: 'shop.test', port: 81, encrypted: true })
  assert.equal(ask(1, headers).host, 'inner.test')
  assert.equal(ask(true, headers).host, 'evil.test')
})

test('where proxies replace instead of appending, the first of the fewer values is theirs', () => {
  const headers = { ...ALL, 'X-Forwarded-For': '192.0.2.7, 10.0.0.2' }
  assert.equal(ask(PROXIES, headers).host, 'shop.test')
  assert.equal(ask(PROXIES, headers).encrypted, true)
})

test('several fields of one name count as one list', () => {
  const rawHeaders = ['X-Forwarded-For', '1.1.1.1', 'x-forwarded-FOR', '192.0.2.7', 'X-Forwarded-Host', 'evil.test',
    'X-Forwarded-Host', 'shop.test']
  const client = createTrust(PROXIES)(PEER, rawHeaders)
  assert.equal(client.clientAddress, '192.0.2.7')
  assert.equal(client.host, 'shop.test')
})

test('an entry that is no address ends the walk at the last known one', () => {
  assert.equal(ask(PROXIES, { 'X-Forwarded-For': '192.0.2.7, unknown' }).clientAddress, '10.0.0.1')
  assert.equal(ask(PROXIES, { 'X-Forwarded-For': '192.0.2.7, <b>, 10.0.0.2' }).clientAddress, '10.0.0.2')
  assert.equal(ask(true, { 'X-Forwarded-For': ' , ,' }).clientAddress, '10.0.0.1')
})

test('an entry with a port is understood', () => {
  const client = ask(PROXIES, { 'X-Forwarded-For': '192.0.2.7:6000' })
  assert.deepEqual([client.clientAddress, client.clientPort], ['192.0.2.7', 6000])
  assert.equal(ask(PROXIES, { 'X-Forwarded-For': '[2001:DB8::1]:6000' }).clientAddress, '2001:db8::1')
  assert.equal(ask(PROXIES, { 'X-Forwarded-For': '2001:db8::2' }).clientAddress, '2001:db8::2')
})

test('a malformed forwarded host or port is refused', () => {
  const refused = { name: 'TenantryError', code: 'ERR_HOST_INVALID', status: 400 }
  for (const host of ['a b', 'a/b', 'u@a.test', 'a.test:0', 'a.test,', 'a.test, ']) {
    assert.throws(() => ask(PROXIES, { 'X-Forwarded-Host': host }), { ...refused, message: /X-Forwarded-Host/ }, host)
  }
  for (const port of ['0', '65536', 'x', '-1', '8 0', '80,']) {
    assert.throws(() => ask(PROXIES, { 'X-Forwarded-Port': port }), { ...refused, message: /X-Forwarded-Port/ }, port)
  }
})

test('an IPv4 address that a dual-stack socket shows is trusted as such, and a Unix socket by hops only', () => {
  assert.equal(ask(PROXIES, ALL, { clientAddress: '::ffff:10.0.0.1' }).clientAddress, '192.0.2.7')
  assert.equal(ask(1, ALL, { clientAddress: '' }).clientAddress, '192.0.2.7')
  assert.equal(ask(PROXIES, ALL, { clientAddress: '' }).clientAddress, '')
})

test('the scheme of the socket stands where a proxy names one that we do not know', () => {
  assert.equal(ask(PROXIES, { 'X-Forwarded-Proto': 'gopher' }, { encrypted: true }).encrypted, true)
  assert.equal(ask(PROXIES, { 'X-Forwarded-Proto': 'HTTP' }, { encrypted: true }).encrypted, false)
})

test('a wrong option is an error that names it and what is accepted', () => {
  const wrong = { code: 'ERR_OPTION_INVALID', message: /^trustProxy: ".*" is not true/ }
  const options = ['', '1', 'true', 'loopbak', '10.0.0.0/33', '10.0.0.0/x', 'a.test', '127.1', -1, 1.5, Number.NaN]
  for (const option of options) {
    assert.throws(() => createTrust(option), wrong, String(option))
  }
  assert.throws(() => createTrust(['10.0.0.1', 'x']), { code: 'ERR_OPTION_INVALID', message: /^trustProxy: "x"/ })
})

test('the forwarded host takes the place of the request\'s own, with its port', () => {
  const facts: RequestFacts = {
    host: 'inner.test', hostPort: 9000, acceptingPort: 8080, method: 'GET', url: '/', rawHeaders: [],
  }
  assert.equal(forwardedFacts(facts, PEER), facts)
  assert.deepEqual(forwardedFacts(facts, ask(PROXIES, ALL)), { ...facts, host: 'shop.test', hostPort: 8443 })
  const portless = ask(PROXIES, { 'X-Forwarded-Host': 'shop.test' })
  assert.deepEqual(forwardedFacts(facts, portless), { ...facts, host: 'shop.test', hostPort: undefined })
  assert.deepEqual(forwardedFacts(facts, ask(PROXIES, { 'X-Forwarded-Port': '444' })), { ...facts, hostPort: 444 })
})

test('the client address is the one that proxy-addr finds, where all entries are addresses', () => {
  const address = fc.constantFrom('10.0.0.1', '10.9.9.9', '192.0.2.7', '::1', '2001:db8::1', '127.0.0.1')
  const option = fc.constantFrom<string[]>(['10.0.0.0/8'], ['loopback'], ['10.0.0.0/8', '2001:db8::/32', 'loopback'])
  fc.assert(fc.property(address, fc.array(address, { maxLength: 5 }), option, (clientAddress, entries, trusted) => {
    const text = entries.join(', ')
    const request = { headers: { 'x-forwarded-for': text }, socket: { remoteAddress: clientAddress } } as unknown
    const headers = entries.length === 0 ? {} : { 'X-Forwarded-For': text }
    assert.equal(ask(trusted, headers, { clientAddress }).clientAddress, proxyAddr(request as IncomingMessage, trusted))
  }))
})
