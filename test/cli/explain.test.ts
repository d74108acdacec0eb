import { test } from 'node:test'
import assert from 'node:assert/strict'
import { run } from '../../src/cli/program.ts'
import type { AskedRequest, Explanation } from '../../src/explain.ts'
import { fakeWorld, makeFolder, type FakeWorld } from './fake-world.ts'
import type { TestContext } from 'node:test'

const MB = 1024 ** 2

const SERVED: Explanation = {
  request: { method: 'GET', url: '/blog/1', clientAddress: '127.0.0.1', encrypted: true },
  host: 'a.example.test',
  allowedBy: '*.example.test',
  dispatch: { applicationGroup: 'beta' },
  tenant: { pattern: '*.example.test', kind: 'auto', threads: 2, directory: '/srv/a' },
  mount: { path: '/blog', entry: '/srv/a/blog.mjs' },
  applicationGroup: { name: 'beta', key: 'function:beta 1', by: 'dispatch' },
  processGroup: { name: '', by: 'global' },
  // Three of them: one of each kind.
  limits: { memoryLimit: 256 * MB, idleTimeout: 0, maxQueue: 1 } as NonNullable<Explanation['limits']>,
  certificate: { hosts: 'DNS:a.example.test', validTo: '2031-05-06T07:08:09.000Z' },
  lane: { name: 'relay', why: 'it is Tuesday' },
  problem: null,
  refusal: null,
}

const REFUSED: Explanation = {
  ...SERVED,
  allowedBy: null, dispatch: null, tenant: null, mount: null, applicationGroup: null, processGroup: null, limits: null,
  certificate: null,
  lane: null,
  problem: { pattern: 'a.example.test', message: 'no entry' },
  refusal: { status: 421, code: 'ERR_HOST_NOT_ALLOWED', message: 'The host is not allowed' },
}

function worldOf(t: TestContext, explanation: Explanation): FakeWorld & { readonly asked: (string | AskedRequest)[] } {
  const asked: (string | AskedRequest)[] = []
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }))
  return Object.assign(world, {
    asked,
    explain: async (_: unknown, port: number, request: AskedRequest) => {
      asked.push(`${port}`, request)
      return await Promise.resolve(explanation)
    },
  })
}

test('a request that would be served is explained line by line, exit code 0', async (t) => {
  const world = worldOf(t, SERVED)
  assert.deepEqual(await run(['explain', 'https://a.example.test/blog/1', '--port', '81'], world), { code: 0, stuck: false })
  assert.deepEqual(world.out.join('').split('\n'), [
    'request     GET /blog/1 from 127.0.0.1 over TLS',
    'host        a.example.test',
    'allowed by  *.example.test',
    'dispatch    {"applicationGroup":"beta"}',
    'tenant      *.example.test in /srv/a, kind auto, threads 2',
    'mount       /blog is /srv/a/blog.mjs',
    'group       beta, by the dispatch hook; its key: function:beta 1',
    'process     this one, by %{GLOBAL}',
    'limits      memoryLimit 256mb, idleTimeout off, maxQueue 1',
    "tls         the tenant's own certificate, for DNS:a.example.test until 2031-05-06",
    'lane        relay: it is Tuesday',
    "answer      the application's",
    '',
  ])
  assert.deepEqual(world.asked[0], '81')
})

test('a connection that is handed over is explained, and over TLS whose is not', async (t) => {
  const laneOf = async (encrypted: boolean): Promise<string | undefined> => {
    const world = worldOf(t, { ...SERVED, lane: { name: 'handoff', why: null }, request: { ...SERVED.request, encrypted } })
    await run(['explain', 'a.example.test'], world)
    return world.out.join('').split('\n').find((line) => line.startsWith('lane'))
  }
  assert.equal(await laneOf(false), 'lane        hand-off')
  assert.match(String(await laneOf(true)), /^lane        hand-off; relay for a client that offers HTTP\/2/)
})

test('a tenant without a certificate is said to need the server\'s own, where TLS is asked for', async (t) => {
  const tlsOf = async (encrypted: boolean): Promise<string | undefined> => {
    const world = worldOf(t, { ...SERVED, certificate: null, request: { ...SERVED.request, encrypted } })
    await run(['explain', 'a.example.test'], world)
    return world.out.join('').split('\n').find((line) => line.startsWith('tls'))
  }
  assert.equal(await tlsOf(false), undefined)
  assert.match(String(await tlsOf(true)), /^tls         the server's own certificate; where it has none, the handshake is refused/)
})

test('a refusal is explained, too, and is exit code 1', async (t) => {
  const world = worldOf(t, REFUSED)
  assert.deepEqual(await run(['explain', 'a.example.test', 'tenants'], world), { code: 1, stuck: false })
  assert.deepEqual(world.out.join('').split('\n').slice(2), [
    'problem     a.example.test: no entry',
    'answer      421 ERR_HOST_NOT_ALLOWED: The host is not allowed',
    '',
  ])
})

test('--json prints the same for machines', async (t) => {
  const world = worldOf(t, REFUSED)
  assert.equal((await run(['explain', 'a.example.test', '--json'], world)).code, 1)
  assert.deepEqual(JSON.parse(world.out.join('')), REFUSED)
})

test('method, headers and client address are those of the flags', async (t) => {
  const world = worldOf(t, SERVED)
  await run(['explain', 'a.test', '--method', 'POST', '--header', 'X-Beta: 1', '--header', 'Cookie:a=b', '--client', '::1'], world)
  assert.deepEqual(world.asked[1], { url: 'a.test', method: 'POST', rawHeaders: ['X-Beta', '1', 'Cookie', 'a=b'], clientAddress: '::1' })
})

for (const [args, message] of [
  [[], /missing required argument 'url'/],
  [['a.test', '--header', 'X-Beta'], /--header is 'X-Beta'; write/],
  [['a.test', '--header', 'X-Beta: 1\r\nHost: b'], /--header is/],
  [['a.test', '--client', 'home'], /--client is 'home'; write an IP address/],
  [['a.test', '--method', 'get it'], /--method is 'get it'/],
  [['a.test', '--heder', 'x'], /did you mean --header\?/],
  [['a.test', '--max-group', '1'], /did you mean --max-groups\?/],
  [['a.test', 'nowhere'], /'nowhere' does not exist/],
] as const) {
  test(`a wrong use is one line and exit code 2: explain ${JSON.stringify(args)}`, async (t) => {
    const world = worldOf(t, SERVED)
    assert.equal((await run(['explain', ...args], world)).code, 2)
    assert.match(world.err.join(''), message)
    assert.equal(world.err.join('').trimEnd().split('\n').length, 1)
    assert.deepEqual(world.asked, [])
  })
}
