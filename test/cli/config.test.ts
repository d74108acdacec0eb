import { test } from 'node:test'
import assert from 'node:assert/strict'
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { loadConfiguration, watchedPaths } from '../../src/cli/config.ts'
import { DEFAULT_LOGGER } from '../../src/ops/logger.ts'
import { makeFolder } from './fake-world.ts'

test('a folder is the tenants, and the command has its defaults', async (t) => {
  const folder = makeFolder(t, { 'sites/a.example.test/index.mjs': '' })
  const { host, port, watch, file, options } = await loadConfiguration('sites', {}, {}, folder)
  assert.deepEqual([host, port, watch, file], ['127.0.0.1', 8080, false, undefined])
  const oneDaemon = { processGroup: 'tenants', processGroups: { tenants: { processes: 1, startAhead: true } } }
  assert.deepEqual(options, { tenants: join(folder, 'sites'), logger: DEFAULT_LOGGER, ...oneDaemon })
})

test('processes says how many daemons there are, 0 that there are none, and nothing of both beside process groups', async (t) => {
  const folder = makeFolder(t, { 'sites/x': '' })
  const groups = async (settings: object): Promise<unknown> =>
    (await loadConfiguration('sites', settings, {}, folder)).options.processGroups
  assert.deepEqual(await groups({ processes: 3 }), { tenants: { processes: 3, startAhead: true } })
  assert.equal(await groups({ processes: 0 }), undefined)
  assert.equal(await groups({ processGroup: '' }), undefined)
  assert.deepEqual(await groups({ processGroups: { own: {} } }), { own: {} })
  await assert.rejects(groups({ processes: 2, processGroup: 'own' }), { code: 'ERR_CONFIG', message: /processes puts every tenant/ })
})

test('the usual places are looked for in their order', async (t) => {
  const folder = makeFolder(t, { 'tenants/x': '' })
  assert.equal((await loadConfiguration(undefined, {}, {}, folder)).options.tenants, join(folder, 'tenants'))
  writeFileSync(join(folder, 'tenantry.json'), '{"tenants":"json"}')
  assert.equal((await loadConfiguration(undefined, {}, {}, folder)).options.tenants, join(folder, 'json'))
  writeFileSync(join(folder, 'tenantry.config.mjs'), 'export default { tenants: "module" }')
  assert.equal((await loadConfiguration(undefined, {}, {}, folder)).options.tenants, join(folder, 'module'))
})

test('paths in a file are meant from that file', async (t) => {
  const file = `export default { tenants: {
    'a.test': 'a.mjs', 'b.test': { entry: './b.mjs', kind: 'node' }, 'c.test': { mounts: { '/': 'c.mjs', '/x': '/abs/x.mjs' } },
    'd.test': new URL('file:///abs/d.mjs'), 'e.test': 'file:///abs/e.mjs',
  } }`
  const folder = makeFolder(t, { 'etc/site.mjs': file })
  const { options } = await loadConfiguration('etc/site.mjs', {}, {}, folder)
  assert.deepEqual(
    options.tenants,
    new Map<string, unknown>([
      ['a.test', join(folder, 'etc/a.mjs')],
      ['b.test', { entry: join(folder, 'etc/b.mjs'), kind: 'node' }],
      ['c.test', { mounts: { '/': join(folder, 'etc/c.mjs'), '/x': '/abs/x.mjs' } }],
      ['d.test', '/abs/d.mjs'],
      ['e.test', '/abs/e.mjs'],
    ]),
  )
})

test('TLS is what its settings say: off, with a certificate, or with those of the tenants alone', async (t) => {
  const folder = makeFolder(t, { 'sites/x': '', 'etc/site.json': '{"tenants":"t","tlsCert":"own/cert.pem","tlsKey":"own/key.pem"}' })
  const tls = async (settings: object, target = 'sites'): Promise<unknown> =>
    (await loadConfiguration(target, settings, {}, folder)).tls
  assert.equal(await tls({}), undefined)
  assert.deepEqual(await tls({ tls: true }), {})
  assert.deepEqual(await tls({ tls: true, http2: false }), { http2: false })
  assert.deepEqual(await tls({ tlsCert: 'c.pem', tlsKey: '/k.pem' }), { cert: join(folder, 'c.pem'), key: '/k.pem' })
  assert.deepEqual(await tls({}, 'etc/site.json'), { cert: join(folder, 'etc/own/cert.pem'), key: join(folder, 'etc/own/key.pem') })
  const pem = '-----BEGIN CERTIFICATE-----\n'
  assert.deepEqual(await tls({ tlsCert: pem, tlsKey: pem }), { cert: pem, key: pem })
  await assert.rejects(tls({ tlsCert: 'c.pem' }), { code: 'ERR_CONFIG', message: 'tlsCert is set and tlsKey is not; write both' })
  await assert.rejects(tls({ tls: false, tlsCert: 'c', tlsKey: 'k' }), { code: 'ERR_CONFIG', message: /tls is off and tlsCert is set/ })
  await assert.rejects(tls({ http2: true }), { code: 'ERR_CONFIG', message: /http2 is set, but is offered over TLS only/ })
})

test("a tenant's certificate in a file is meant from that file, and watched with the server's own", async (t) => {
  const tenants = { 'a.test': { entry: 'a.mjs', tls: { cert: 'a.pem', key: '-----BEGIN PRIVATE KEY-----' } } }
  const file = JSON.stringify({ tenants, tlsCert: 'own.pem', tlsKey: 'missing.pem' })
  const folder = makeFolder(t, { 'etc/site.json': file, 'etc/a.mjs': '', 'etc/a.pem': '', 'etc/own.pem': '' })
  const configuration = await loadConfiguration('etc/site.json', {}, {}, folder)
  const { tls } = (configuration.options.tenants as Map<string, { tls: unknown }>).get('a.test') ?? {}
  assert.deepEqual(tls, { cert: join(folder, 'etc/a.pem'), key: '-----BEGIN PRIVATE KEY-----' })
  assert.deepEqual(watchedPaths(configuration).sort(), ['a.mjs', 'a.pem', 'own.pem', 'site.json'].map((name) => join(folder, 'etc', name)))
})

test('a module that was changed is read again, not taken from the cache', async (t) => {
  const folder = makeFolder(t, { 'c.mjs': 'export default { tenants: "t", port: 1 }' })
  assert.equal((await loadConfiguration('c.mjs', {}, {}, folder)).port, 1)
  writeFileSync(join(folder, 'c.mjs'), 'export default { tenants: "t", port: 2 }')
  utimesSync(join(folder, 'c.mjs'), 1, 1)
  assert.equal((await loadConfiguration('c.mjs', {}, {}, folder)).port, 2)
})

test('a module may hold what no text can: functions, a logger, a signal', async (t) => {
  const folder = makeFolder(t, {
    'c.mjs': `export default {
    tenants: () => undefined, allowedHosts: true, applicationGroup: () => 'g', signal: AbortSignal.abort(), logger: false,
  }`,
  })
  const { options } = await loadConfiguration('c.mjs', {}, {}, folder)
  assert.equal(typeof options.tenants, 'function')
  assert.equal(typeof options.applicationGroup, 'function')
  assert.equal(options.signal?.aborted, true)
  assert.equal(options.logger, false)
})

test('a level is set on the log of the command, and refused beside a logger of yours', async (t) => {
  const folder = makeFolder(t, { 'tenants/x': '', 'own.json': '{"tenants":"t","logger":{"level":"warn"}}' })
  const { options } = await loadConfiguration(undefined, {}, { TENANTRY_LOG_LEVEL: 'debug' }, folder)
  assert.deepEqual(options.logger, { level: 'debug' })
  await assert.rejects(loadConfiguration('own.json', { logLevel: 'info' }, {}, folder), {
    code: 'ERR_CONFIG',
    message: /set the level in logger/,
  })
  await assert.rejects(loadConfiguration(undefined, { logLevel: 'info', logger: pino() }, {}, folder), {
    code: 'ERR_CONFIG',
  })
})

test('switches, lists and proxies can be written as text in the environment', async (t) => {
  const folder = makeFolder(t, { 'tenants/x': '' })
  const load = (env: NodeJS.ProcessEnv) => loadConfiguration(undefined, {}, env, folder)
  assert.equal((await load({ TENANTRY_WATCH: '1' })).watch, true)
  assert.deepEqual((await load({ TENANTRY_ALLOW: 'a.test, *.b.test' })).options.allowedHosts, ['a.test', '*.b.test'])
  assert.equal((await load({ TENANTRY_TRUST_PROXY: '2' })).options.trustProxy, 2)
  assert.equal((await load({ TENANTRY_TRUST_PROXY: 'true' })).options.trustProxy, true)
  assert.deepEqual((await load({ TENANTRY_TRUST_PROXY: 'loopback, 10.0.0.0/8' })).options.trustProxy, [
    'loopback',
    '10.0.0.0/8',
  ])
  await assert.rejects(load({ TENANTRY_WATCH: 'maybe' }), {
    code: 'ERR_OPTION_INVALID',
    message: /TENANTRY_WATCH is 'maybe'; write true or false/,
  })
})
