import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'
import { TenantryError } from '../../src/errors.ts'
import { explainRequest } from '../../src/explain.ts'
import { resolveOptions } from '../../src/options.ts'
import type { RequestView } from '../../src/http/hooks.ts'

const TWO = { 'a.test': COUNTING, 'b.test': COUNTING }
const named = (name: string): string => `export default (req, res) => res.end(JSON.stringify({ tenant: '${name}', ` +
  `group: process.env.TENANTRY_APPLICATION_GROUP, host: req.headers.host }))`

async function codeOf(port: number, host: string, path = '/', headers: Record<string, string> = {}): Promise<unknown[]> {
  const { status, text } = await ask(port, host, path, { headers: { accept: 'application/problem+json', ...headers } })
  return [status, (JSON.parse(text) as { code?: string }).code]
}

test('a denied request starts no context, and gets 403 or the status that the hook names', async (t) => {
  const { port, runtime } = await openHouse(t, TWO, {
    access: ({ url }) => url === '/no' ? false : url === '/paid' ? 402 : true,
  })
  assert.deepEqual(await codeOf(port, 'a.test', '/no'), [403, 'ERR_ACCESS_DENIED'])
  assert.deepEqual(await codeOf(port, 'a.test', '/paid'), [402, 'ERR_ACCESS_DENIED'])
  assert.equal(runtime.stats().births, 0)
  assert.equal((await askJson(port, 'a.test', '/yes'))['requests'], 1)
})

test('an upgrade and a fetch-style request are asked about, too', async (t) => {
  const { port, runtime } = await openHouse(t, TWO, { access: async () => await Promise.resolve(false) })
  const wire = await Wire.open(t, port)
  wire.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  assert.match(await wire.rest(), /^HTTP\/1\.1 403 /)
  assert.equal((await runtime.fetch(new Request('http://a.test/'))).status, 403)
  assert.equal(runtime.stats().births, 0)
})

test('an access hook that gives no verdict lets nobody in', async (t) => {
  const answers: unknown[] = [undefined, null, 200, 500, 403.5, 'yes', {}]
  const { port, runtime, log } = await openHouse(t, TWO, { access: () => answers.shift() as boolean })
  while (answers.length > 0) assert.deepEqual(await codeOf(port, 'a.test'), [500, 'ERR_HOOK_FAILED'])
  assert.equal(runtime.stats().births, 0)
  assert.ok(log.some(({ msg }) => JSON.stringify(msg).includes('return true, false or a status')), JSON.stringify(log))
})

for (const hook of ['access', 'dispatch'] as const) {
  test(`what the ${hook} hook throws is in the log, and the client reads a plain 500`, async (t) => {
    let round = 0
    const failing = (): never | Promise<never> => {
      const error = new Error('the password is secret')
      if (++round === 1) throw error
      return Promise.reject(error)
    }
    const { port, runtime, log } = await openHouse(t, TWO, { [hook]: failing })
    for (const expected of [1, 2]) {
      const { status, text } = await ask(port, 'a.test')
      assert.deepEqual([status, text.includes('password'), round], [500, false, expected])
    }
    assert.ok(log.some((line) => JSON.stringify(line).includes('the password is secret')))
    assert.equal(runtime.stats().births, 0)
  })

  test(`a ${hook} hook that never answers is cut by queueTimeout, and told so by its signal`, async (t) => {
    let reason: unknown
    const { port } = await openHouse(t, TWO, {
      queueTimeout: 200,
      [hook]: (_: RequestView, signal: AbortSignal) => new Promise(() => {
        signal.addEventListener('abort', () => { reason = signal.reason })
      }),
    })
    assert.deepEqual(await codeOf(port, 'a.test'), [504, 'ERR_QUEUE_TIMEOUT'])
    assert.ok(reason instanceof TenantryError)
  })
}

test('a hook sees a frozen view of the head and of who asks', async (t) => {
  const views: RequestView[] = []
  const { port } = await openHouse(t, TWO, { trustProxy: true, access: (view) => views.push(view) > 0 })
  await ask(port, 'A.TEST', '/x?y', { method: 'POST', headers: {
    'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https', Cookie: ['a=1', 'b=2'], 'X-Two': ['1', '2'],
  } })
  const [view] = views
  assert.ok(view !== undefined)
  const { method, url, host, headers, clientAddress, encrypted } = view
  assert.deepEqual({ method, url, host, clientAddress, encrypted },
    { method: 'POST', url: '/x?y', host: 'a.test', clientAddress: '192.0.2.7', encrypted: true })
  assert.deepEqual([headers['cookie'], headers['x-two'], headers['toString']], ['a=1; b=2', '1, 2', undefined])
  assert.ok(Object.isFrozen(view) && Object.isFrozen(headers))
})

test('dispatch chooses the application group; a text that looks like a label stays text', async (t) => {
  const { port } = await openHouse(t, TWO, {
    dispatch: ({ headers }) => ({ applicationGroup: headers['x-group'] }),
  })
  const group = async (text?: string, host = 'a.test'): Promise<unknown[]> => {
    const answer = await askJson(port, host, '/', { headers: text === undefined ? {} : { 'x-group': text } })
    return [answer['group'], answer['requests']]
  }
  assert.deepEqual(await group(), [`a.test:${port}`, 1])
  assert.deepEqual(await group('eu'), ['eu', 1])
  assert.deepEqual(await group('eu'), ['eu', 2])
  assert.deepEqual(await group('%{GLOBAL}'), ['%{GLOBAL}', 1], 'a name, and not the empty one')
  assert.deepEqual(await group(`a.test:${port}`), [`a.test:${port}`, 1], 'a name from a hook never joins the group of a host')
  for (const bad of ['', 'x'.repeat(256)]) {
    assert.deepEqual(await codeOf(port, 'a.test', '/', { 'x-group': bad }), [500, 'ERR_LABEL_INVALID'])
  }
})

test('two applications that dispatch gives one name stay apart', async (t) => {
  const { port } = await openHouse(t, { 'a.test': named('a'), 'b.test': { 'index.mjs': named('b'), 'tenant.json': '{"env":{"X":"1"}}' } },
    { dispatch: () => ({ applicationGroup: 'one' }) })
  assert.equal((await askJson(port, 'a.test'))['tenant'], 'a')
  assert.equal((await askJson(port, 'b.test'))['tenant'], 'b')
})

test('dispatch chooses the tenant: its group is that of the host it is named after, and the request stays as it came', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': named('a'), 'b.test': named('b') },
    { dispatch: async ({ url }) => await Promise.resolve(url.startsWith('/b') ? { tenant: 'B.test' } : undefined) })
  assert.deepEqual(await askJson(port, 'a.test', '/b'), { tenant: 'b', group: `b.test:${port}`, host: 'a.test' })
  assert.deepEqual(await askJson(port, 'a.test', '/a'), { tenant: 'a', group: `a.test:${port}`, host: 'a.test' })
  assert.deepEqual(await askJson(port, 'b.test', '/'), { tenant: 'b', group: `b.test:${port}`, host: 'b.test' })
  assert.equal(runtime.stats().births, 2)
})

test('a tenant that dispatch names and nobody has is 404, in a middleware the next one; what is no host is 500', async (t) => {
  const { port, runtime } = await openHouse(t, TWO, {
    dispatch: ({ url }) => ({ tenant: url === '/none' ? 'none.test' : url === '/bad' ? 'a b' : (7 as unknown as string) }),
  })
  assert.deepEqual(await codeOf(port, 'a.test', '/none'), [404, 'ERR_TENANT_NOT_FOUND'])
  assert.deepEqual(await codeOf(port, 'a.test', '/bad'), [500, 'ERR_HOOK_FAILED'])
  assert.deepEqual(await codeOf(port, 'a.test', '/number'), [500, 'ERR_HOOK_FAILED'])
  assert.equal(runtime.stats().births, 0)
})

test('a process group that dispatch names must be declared', async (t) => {
  const { port } = await openHouse(t, TWO, { dispatch: ({ url }) => ({ processGroup: url.slice(1) }) })
  assert.deepEqual(await codeOf(port, 'a.test', '/nobody'), [500, 'ERR_PROCESS_GROUP_MISSING'])
  assert.deepEqual(await codeOf(port, 'a.test', '/'), [500, 'ERR_LABEL_INVALID'])
})

test('dispatch sends a request to a daemon of a declared process group, and explain says the same', async (t) => {
  const where = `export default (req, res) => res.end(JSON.stringify({ process: process.env.TENANTRY_PROCESS_GROUP, pid: process.pid }))`
  const dispatch = ({ url }: RequestView): { processGroup: string } | undefined => url === '/eu' ? { processGroup: 'eu' } : undefined
  const options = { processGroups: { eu: {} }, dispatch }
  const { port, folder } = await openHouse(t, { 'a.test': where }, options)
  const here = await askJson(port, 'a.test', '/')
  const there = await askJson(port, 'a.test', '/eu')
  assert.deepEqual([here['process'], here['pid'], there['process'], there['pid'] === process.pid], ['', process.pid, 'eu', false])
  const request = { method: 'GET', rawHeaders: [], clientAddress: '127.0.0.1' }
  const resolved = resolveOptions({ ...options, tenants: folder })
  const [plain, chosen] = await Promise.all(['/', '/eu'].map((path) => explainRequest(resolved, port, { ...request, url: `a.test${path}` })))
  assert.deepEqual([plain?.processGroup, chosen?.processGroup], [{ name: '', by: 'global' }, { name: 'eu', by: 'dispatch' }])
})

test('a group that dispatch named is reloaded under its name', async (t) => {
  const { port, runtime } = await openHouse(t, TWO, { dispatch: () => ({ applicationGroup: 'eu' }) })
  assert.equal((await askJson(port, 'a.test'))['requests'], 1)
  assert.equal((await askJson(port, 'a.test'))['requests'], 2)
  assert.equal(await runtime.reload('eu'), true)
  assert.deepEqual(await askJson(port, 'a.test'), { group: 'eu', requests: 1, url: '/' })
  assert.equal(runtime.stats().births, 2)
})

test('hooks are not asked about a host that is malformed or not allowed', async (t) => {
  let asked = 0
  const hook = (): true => { asked++; return true }
  const { port } = await openHouse(t, TWO, { access: hook })
  assert.equal((await ask(port, 'c.test')).status, 421)
  assert.equal((await ask(port, 'a b')).status, 400)
  assert.equal(asked, 0)
})
