import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { openDescriptors } from '../src/context/descriptors.ts'
import { explainRequest } from '../src/explain.ts'
import { RELAY_REASONS } from '../src/http/lane-choice.ts'
import { resolveOptions } from '../src/options.ts'
import { askJson, Wire } from './behaviour/client.ts'
import { COUNTING, openHouse, tenantFolder } from './behaviour/house.ts'
import { CERTIFIED } from './behaviour/secure.ts'
import type { Explanation } from '../src/explain.ts'
import type { RuntimeOptions } from '../src/options.ts'

const PORT = 8080
const MOUNTS = {
  'tenant.json': JSON.stringify({ mounts: { '/': 'index.mjs', '/blog': 'blog.mjs' }, limits: { handlerTimeout: '5s' } }),
  'index.mjs': COUNTING,
  'blog.mjs': COUNTING,
}

async function explain(options: RuntimeOptions, url: string, rawHeaders: string[] = [], method = 'GET'): Promise<Explanation> {
  return await explainRequest(resolveOptions(options), PORT, { url, method, rawHeaders, clientAddress: '192.0.2.1' })
}

test('a request that would be served is explained from its host to its limits', async (t) => {
  const tenants = await tenantFolder(t, { '*.a.test': MOUNTS })
  const { limits, ...steps } = await explain({ tenants, lane: 'relay' }, 'https://X.a.test:8443/blog/1?q#top')
  const directory = path.join(tenants, '*.a.test')
  assert.deepEqual(steps, {
    request: { method: 'GET', url: '/blog/1?q', clientAddress: '192.0.2.1', encrypted: true },
    host: 'x.a.test',
    allowedBy: '*.a.test',
    dispatch: null,
    tenant: { pattern: '*.a.test', kind: 'auto', threads: 1, directory },
    mount: { path: '/blog', entry: path.join(directory, 'blog.mjs') },
    applicationGroup: { name: 'x.a.test:8080', key: 'host:x.a.test:8080', by: 'host' },
    processGroup: { name: '', by: 'global' },
    certificate: null,
    lane: { name: 'relay', why: "lane is 'relay'" },
    problem: null,
    refusal: null,
  })
  assert.deepEqual([limits?.handlerTimeout, limits?.idleTimeout], [5000, 600_000])
})

test('over TLS, the certificate of the tenant is shown, and decides whether its connection can be handed over', { skip: openDescriptors() === undefined }, async (t) => {
  const tenants = await tenantFolder(t, {
    'one.example.test': { ...CERTIFIED, 'index.mjs': COUNTING, 'tenant.json': '{ "tls": { "cert": "cert.pem", "key": "key.pem" } }' },
    'two.example.test': COUNTING,
  })
  const one = await explain({ tenants, lane: 'auto' }, 'https://one.example.test/')
  assert.deepEqual(one.certificate, { hosts: 'DNS:one.example.test', validTo: '2126-10-29T20:30:01.000Z' })
  assert.deepEqual(one.lane, { name: 'handoff', why: null })
  // The connection moves before its head can be read.
  assert.deepEqual((await explain({ tenants, lane: 'auto' }, 'https://one.example.test/', ['Via', '1.1 x'])).lane, one.lane)
  const two = await explain({ tenants, lane: 'auto' }, 'https://two.example.test/')
  assert.equal(two.certificate, null)
  assert.match(String(two.lane?.why), /no certificate of its own/)
  assert.equal((await explain({ tenants, lane: 'auto' }, 'http://two.example.test/')).lane?.why, null)
})

test('each refusal says its status and why, and what was known until then', async (t) => {
  const tenants = await tenantFolder(t, {
    'a.test': { ...MOUNTS, 'tenant.json': JSON.stringify({ mounts: { '/blog': 'blog.mjs' } }) },
    'wrong.test': { 'tenant.json': '{' },
    'daemon.test': { 'tenant.json': JSON.stringify({ processGroup: 'nobody' }), 'index.mjs': COUNTING },
  })
  const seen: unknown[] = []
  for (const url of ['a_._/', 'http://user@a.test/', 'b.test/', 'a.test/other', 'daemon.test', 'wrong.test']) {
    const { host, allowedBy, tenant, applicationGroup, problem, refusal } = await explain({ tenants }, url)
    seen.push([host, allowedBy, tenant?.pattern, applicationGroup, problem?.pattern, refusal?.status, refusal?.code])
  }
  assert.deepEqual(seen, [
    [null, null, undefined, null, undefined, 400, 'ERR_HOST_INVALID'],
    [null, null, undefined, null, undefined, 400, 'ERR_HOST_INVALID'],
    ['b.test', null, undefined, null, undefined, 421, 'ERR_HOST_NOT_ALLOWED'],
    ['a.test', 'a.test', 'a.test', null, undefined, 404, 'ERR_TENANT_NOT_FOUND'],
    ['daemon.test', 'daemon.test', 'daemon.test', null, undefined, 500, 'ERR_PROCESS_GROUP_MISSING'],
    ['wrong.test', null, undefined, null, 'wrong.test', 421, 'ERR_HOST_NOT_ALLOWED'],
  ])
})

test('hooks, trusted proxies and label functions see the request that is explained', async (t) => {
  const tenants = await tenantFolder(t, { 'a.test': COUNTING, 'b.test': COUNTING })
  const options: RuntimeOptions = {
    tenants,
    trustProxy: true,
    applicationGroup: ({ method }) => `by ${method}`,
    dispatch: ({ headers }) => (headers['x-beta'] === '1' ? { applicationGroup: 'beta', tenant: 'B.test' } : undefined),
    access: ({ clientAddress }) => clientAddress !== '198.51.100.9' || 451,
  }
  const beta = await explain(options, 'a.test', ['X-Beta', '1'])
  assert.deepEqual([beta.dispatch, beta.tenant?.pattern], [{ applicationGroup: 'beta', tenant: 'B.test' }, 'b.test'])
  assert.deepEqual([beta.applicationGroup?.name, beta.applicationGroup?.by, beta.processGroup?.by], ['beta', 'dispatch', 'global'])
  const plain = await explain(options, 'a.test', [], 'PUT')
  assert.deepEqual([plain.applicationGroup?.name, plain.applicationGroup?.by], ['by PUT', 'function'])
  const denied = await explain(options, 'a.test', ['X-Forwarded-For', '198.51.100.9'])
  assert.deepEqual([denied.request.clientAddress, denied.refusal?.status, denied.tenant?.pattern], ['198.51.100.9', 451, 'a.test'])
})

test('a name in its own script is asked for as a browser does', async (t) => {
  const tenants = await tenantFolder(t, { 'xn--bcher-kva.test': COUNTING })
  assert.equal((await explain({ tenants }, 'http://bücher.test:8080/')).host, 'xn--bcher-kva.test')
})

test('what is no URL is the mistake of who asks', async () => {
  for (const url of ['', 'ftp://a.test/', '/path', '?', 'http://', 'a.test/with space']) {
    await assert.rejects(explain({ tenants: {} }, url), { code: 'ERR_CONFIG', message: /is no URL/ }, url)
  }
})

test('explain and the server agree on every request: they ask the same functions', async (t) => {
  const hosts = { 'a.test': MOUNTS, '*.b.test': COUNTING, 'c.test': { 'tenant.json': JSON.stringify({ mounts: { '/only': 'index.mjs' } }), 'index.mjs': COUNTING } }
  const hooks = { access: ({ url }: { url: string }) => !url.includes('x') || 402, maxContexts: 4 } as const
  const { port, folder } = await openHouse(t, hosts, { ...hooks, dispatch: ({ url }) => (url.includes('y') ? { applicationGroup: 'y' } : undefined) })
  const options = resolveOptions({ tenants: folder, ...hooks, dispatch: ({ url }) => (url.includes('y') ? { applicationGroup: 'y' } : undefined) })
  const host = fc.oneof(
    fc.constantFrom('a.test', 'A.Test.', 'x.b.test', 'b.test', 'c.test', 'c.test:99', 'd.test', '1.2.3.4', '[::1]'),
    fc.string({ unit: fc.constantFrom('a', 'B', '.', '-', '_', ':', '1', '@', '%'), minLength: 1, maxLength: 12 }),
  )
  const target = fc.string({ unit: fc.constantFrom('/', 'blog', 'only', 'x', 'y', '.', '?'), maxLength: 5 }).map((text) => `/${text}`)
  await fc.assert(fc.asyncProperty(host, target, async (host, target) => {
    const { refusal, applicationGroup } = await explainRequest(options, port, { url: `http://${host}${target}`, method: 'GET', rawHeaders: [], clientAddress: '127.0.0.1' })
    const wire = await Wire.open(t, port)
    wire.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nAccept: application/problem+json\r\n\r\n`)
    const answer = await wire.rest()
    assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), refusal?.status ?? 200, answer)
    const body = JSON.parse(/\{.*\}/.exec(answer)?.[0] ?? '') as { code?: string; group?: string }
    assert.deepEqual([body.code ?? null, body.group ?? null], [refusal?.code ?? null, applicationGroup?.name ?? null])
  }), { numRuns: 120 })
  assert.equal((await askJson(port, 'a.test'))['group'], `a.test:${port}`)
})

test('the lane of a connection that begins with the request is explained, and why it is not the other one', async (t) => {
  const tenants = await tenantFolder(t, { 'a.test': COUNTING })
  const lanes: unknown[] = []
  for (const [options, rawHeaders, method] of [
    [{}, []],
    [{ lane: 'relay' }, []],
    [{}, ['X-Forwarded-For', '192.0.2.7']],
    [{ trustProxy: '192.0.2.0/24' }, []],
    [{ applicationGroup: () => 'x' }, []],
    [{ access: () => true }, []],
    [{ logger: { level: 'trace' } }, []],
    [{ logger: pino({ level: 'debug' }) }, []],
    [{ logger: { level: 'info' } }, []],
    [{ logger: false }, []],
    [{}, [], 'PROPFIND'],
    [{}, ['Content-Length', '3', 'Transfer-Encoding', 'chunked']],
    [{}, ['X-Long', 'x'.repeat(8192)]],
  ] as const) {
    lanes.push((await explain({ tenants, ...options }, 'http://a.test/', [...rawHeaders], method)).lane)
  }
  const relay = (reason: keyof typeof RELAY_REASONS): unknown => ({ name: 'relay', why: RELAY_REASONS[reason] })
  const can = openDescriptors() !== undefined
  const or = (lane: unknown): unknown => (can ? lane : relay('descriptors'))
  assert.deepEqual(lanes, [
    or({ name: 'handoff', why: null }), relay('option'), or(relay('proxy')), or(relay('proxy')), or(relay('label')), or(relay('hooks')),
    or(relay('events')), or(relay('events')), or({ name: 'handoff', why: null }), or({ name: 'handoff', why: null }),
    or(relay('head')), or(relay('head')), or(relay('head')),
  ])
})
