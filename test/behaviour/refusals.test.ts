import { test } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { ask, eventually, exchange } from './client.ts'
import { COUNTING, openHouse, openRuntime } from './house.ts'

/** What no client may ever read. */
const SECRETS = /\/tmp|\/home|node_modules|\.mjs|\.js|\.ts\b|\n\s+at |Error:|purpose/

const ASK = '\r\nConnection: close\r\n\r\n'

const MALFORMED = [
  ['no Host at all', 'GET / HTTP/1.1\r\nAccept: */*'],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test'],
  ['two different Hosts', 'GET / HTTP/1.1\r\nHost: a.test\r\nHOST: b.test'],
  ['a blank in the Host', 'GET / HTTP/1.1\r\nHost: a test'],
  ['a path in the Host', 'GET / HTTP/1.1\r\nHost: a.test/evil'],
  ['user information in the Host', 'GET / HTTP/1.1\r\nHost: user@a.test'],
  ['a list in the Host', 'GET / HTTP/1.1\r\nHost: a.test, b.test'],
  ['a Host of 5,000 characters', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(5000)}`],
  ['a number that is an address to some', 'GET / HTTP/1.1\r\nHost: 0x7f.1'],
  ['a port out of range', 'GET / HTTP/1.1\r\nHost: a.test:99999'],
  ['an absolute target with a bad host', 'GET http://a,b/ HTTP/1.1\r\nHost: a.test'],
] as const

test('a malformed, missing or doubled Host is answered 400 and closes the connection, and no context starts', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': COUNTING, _default: COUNTING }, { allowedHosts: true })
  for (const [what, head] of MALFORMED) {
    const answer = await exchange(t, port, `${head}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/, what)
    assert.match(answer, /\r\nConnection: close\r\n/i, what)
    assert.doesNotMatch(answer, SECRETS, what)
  }
  assert.equal(runtime.stats().births, 0)
})

test('an absolute target decides over the Host, and HTTP/1.0 without one means the server itself', async (t) => {
  const { port } = await openHouse(t, { 'a.test': COUNTING, 'b.test': COUNTING, 'own.test': COUNTING }, { serverName: 'own.test' })
  assert.match(await exchange(t, port, `GET http://a.test/x HTTP/1.1\r\nHost: b.test${ASK}`), /"group":"a\.test:/)
  assert.match(await exchange(t, port, 'GET / HTTP/1.0\r\n\r\n'), /"group":"own\.test:/)
})

test('a host that is not allowed is answered 421, one without a tenant 404, both without a context', async (t) => {
  const house = await openHouse(t, { 'a.test': COUNTING }, { allowedHosts: ['a.test', 'empty.test'] })
  const foreign = await ask(house.port, 'stranger.test')
  assert.deepEqual([foreign.status, foreign.text], [421, '421 Misdirected Request\nThis server does not serve this host.\n'])
  const empty = await ask(house.port, 'empty.test')
  assert.deepEqual([empty.status, empty.text], [404, '404 Not Found\nNothing is served under this name.\n'])
  assert.equal(house.runtime.stats().births, 0)
  await eventually('both are in the log', () =>
    ['ERR_HOST_NOT_ALLOWED', 'ERR_TENANT_NOT_FOUND'].every((code) => house.log.some((line) => line['code'] === code)))
})

test('a refusal of HEAD has the head and length of GET and no body', async (t) => {
  const { port } = await openHouse(t, { 'a.test': COUNTING })
  const get = await ask(port, 'stranger.test')
  const raw = await exchange(t, port, `HEAD / HTTP/1.1\r\nHost: stranger.test${ASK}`)
  const [head, body] = raw.split('\r\n\r\n') as [string, string]
  assert.match(head, /^HTTP\/1\.1 421 /)
  assert.match(head, new RegExp(`\\r\\nContent-Length: ${get.text.length}(\\r\\n|$)`))
  assert.equal(body, '')
})

test('who accepts application/problem+json gets the stable code in it', async (t) => {
  const { port } = await openHouse(t, { 'a.test': COUNTING })
  const { status, headers, text } = await ask(port, 'stranger.test', '/', { headers: { accept: 'application/problem+json' } })
  assert.deepEqual([status, headers['content-type']], [421, 'application/problem+json'])
  assert.deepEqual(JSON.parse(text), {
    type: 'about:blank', title: 'Misdirected Request', status: 421, detail: 'This server does not serve this host.',
    code: 'ERR_HOST_NOT_ALLOWED',
  })
})

const BROKEN = {
  'throws.test': `throw new Error('broken on purpose')`,
  'empty.test': 'export const nothing = 1',
  'syntax.test': 'export default (req, res => {',
  'import.test': `import './not-there.mjs'`,
  'exits.test': 'process.exit(3)',
  'nothing.test': 'export const port = 3000',
  'rejects.test': `await Promise.reject(Object.assign(new Error('no database on purpose'), { code: 'EDB' }))`,
} as const

test('a start that fails is answered 500, the reason stands in the log and never in the answer', async (t) => {
  const { port, log } = await openHouse(t, { ...BROKEN, 'fine.test': COUNTING })
  for (const host of Object.keys(BROKEN)) {
    for (const accept of ['*/*', 'application/problem+json']) {
      const { status, text, headers } = await ask(port, host, '/', { headers: { accept } })
      assert.ok(status === 500 || status === 503, `${host} answered ${status}`)
      if (status === 503) assert.ok(Number(headers['retry-after']) >= 1, host)
      assert.doesNotMatch(text + JSON.stringify(headers), SECRETS, host)
    }
    await eventually(`the log says why ${host} failed`, () => log.some((line) => line['label'] === `${host}:${port}` && line['code'] === 'ERR_START_FAILED'))
  }
  const reasons = JSON.stringify(log)
  for (const reason of ['broken on purpose', 'no database on purpose', 'not-there.mjs', 'exited with code 3 while it was loading"', 'it exports nothing that can be served']) {
    assert.ok(reasons.includes(reason), reason)
  }
  assert.equal((await ask(port, 'fine.test')).status, 200)
})

test('a middleware hands foreign hosts on untouched, also with a body that was read before, and answers what is malformed', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': COUNTING })
  const seen: unknown[] = []
  const server = http.createServer((req, res) => {
    req.on('data', () => {})
    req.on('end', () => runtime.handler(req, res, (error) => {
      seen.push(error)
      res.end(`next ${String(res.headersSent)}`)
    }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const foreign = await ask(port, 'stranger.test', '/', { method: 'POST', body: 'x' })
  assert.deepEqual([foreign.status, foreign.text], [200, 'next false'])
  assert.deepEqual(seen, [undefined])
  assert.equal((await ask(port, 'a/b')).status, 400)
  assert.equal((await ask(port, 'a.test')).status, 200, 'a request without a body has nothing to lose')
})

test('over its caps the server answers 503 with Retry-After, and serves again when there is room', async (t) => {
  const { port } = await openHouse(t, { '*.sites.test': HOLDING, 'named.test': HOLDING }, {
    maxContexts: 3, maxGroups: 2, maxGroupsPerPattern: 1, maxStarting: 2,
  })
  const one = ask(port, 'one.sites.test', '/hold')
  await eventually('the first one is held', async () => (await ask(port, 'one.sites.test')).text === 'held 1')
  const two = await ask(port, 'two.sites.test')
  assert.equal(two.status, 503)
  assert.ok(Number(two.headers['retry-after']) >= 1)
  assert.equal((await ask(port, 'named.test')).status, 200, 'the cap of the wildcard is not the cap of the named')
  await ask(port, 'one.sites.test', '/release')
  assert.equal((await one).text, 'released')
  assert.equal((await ask(port, 'two.sites.test')).status, 200)
})

/** Holds '/hold' until somebody asks for '/release'. */
const HOLDING = `
const held = []
export default (req, res) => {
  if (req.url === '/hold') return void held.push(res)
  if (req.url === '/release') for (const other of held.splice(0)) other.end('released')
  res.end('held ' + held.length)
}
`

test('the queue of a group is bounded: one more is answered 503 at once', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': HOLDING }, { maxInFlight: 1, maxQueue: 2 })
  await ask(port, 'a.test')
  // A connection that was handed over breaks off with its context.
  const answers = Promise.all([1, 2, 3].map(() => ask(port, 'a.test', '/hold').catch(() => ({ status: 502 }))))
  await eventually('one is held and two wait', () => runtime.stats().inFlight === 1 && runtime.stats().queued === 2)
  const refused = await ask(port, 'a.test')
  assert.deepEqual([refused.status, Number(refused.headers['retry-after']) >= 1], [503, true])
  await eventually('it is counted', () => runtime.stats().refusals['ERR_QUEUE_FULL'] === 1)
  await runtime.destroy()
  const statuses = (await answers).map(({ status }) => status)
  assert.deepEqual(statuses.filter((status) => status !== 502 && status !== 503), [], `they heard ${statuses.join()}`)
})

test('an undeclared process group is answered 500 with the reason in the log', async (t) => {
  const { port, log, runtime } = await openHouse(t, { 'a.test': COUNTING }, { processGroup: 'secret-daemons' })
  const { status, text } = await ask(port, 'a.test')
  assert.equal(status, 500)
  assert.doesNotMatch(text, /secret-daemons/)
  await eventually('the log names it', () =>
    log.some((line) => line['code'] === 'ERR_PROCESS_GROUP_MISSING' && line.msg.includes('secret-daemons')))
  assert.equal(runtime.stats().births, 0)
})
