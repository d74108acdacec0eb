import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { resolveTenant } from '../../src/group/resolve-tenant.ts'
import { DEFAULTS } from './source-defaults.ts'

const ORIGIN = { pattern: 'a.test', base: path.resolve('/apps/a') }

function resolve(given: unknown): ReturnType<typeof resolveTenant> {
  return resolveTenant(given, ORIGIN, DEFAULTS)
}

test('text, a URL and an object with an entry are the same tenant', () => {
  const entry = path.resolve('/apps/a/server.js')
  for (const given of ['server.js', './server.js', entry, pathToFileURL(entry), { entry: pathToFileURL(entry).href }]) {
    assert.deepEqual(resolve(given).mounts, [{ path: '', entry }])
  }
})

test('what a tenant does not set is the default of the runtime', () => {
  const tenant = resolve('server.js')
  assert.deepEqual(tenant.contextLimits, {
    startupTimeout: 1001, memoryLimit: 64 * 1024 ** 2, bufferLimit: 1007, cpuTimeLimit: 1002, deadlockTimeout: 1003, maxRequests: 4, maxAge: 1005, terminateTimeout: 1006,
    trimTimeout: 1012,
  })
  assert.deepEqual(tenant.groupLimits, { handlerTimeout: 1007, idleTimeout: 1008, bodyLimit: 1009, maxInFlight: 10, maxQueue: 11 })
  assert.equal(tenant.kind, 'auto')
  assert.equal(tenant.permission, undefined)
  assert.equal(tenant.applicationGroup.kind, 'host')
})

test('a tenant has one thread unless it says more, and those that differ in it are two applications', () => {
  const [one, two] = [resolve('server.js'), resolve({ entry: 'server.js', threads: 2 })]
  assert.deepEqual([one.threads, two.threads], [1, 2])
  assert.notEqual(one.identity, two.identity)
  assert.notEqual(one.revision, two.revision)
})

test('limits are read with their units', () => {
  const { contextLimits, groupLimits } = resolve({ entry: 'x.js', limits: { memoryLimit: '32mb', handlerTimeout: '2s', maxQueue: 0 } })
  assert.deepEqual([contextLimits.memoryLimit, groupLimits.handlerTimeout, groupLimits.maxQueue], [32 * 1024 ** 2, 2000, 0])
})

test('mounts lose their trailing slash, and the longest comes first', () => {
  const { mounts } = resolve({ mounts: { '/': 'root.js', '/blog/': 'blog.js', '/blog/admin': 'admin.js' } })
  assert.deepEqual(mounts.map((mount) => mount.path), ['/blog/admin', '/blog', ''])
})

test('relative preloads and permissions start at the tenant, package names stay', () => {
  const tenant = resolve({ entry: 'x.js', preload: ['./setup.js', 'dotenv/config'], permission: { read: ['data'], write: ['/var/x'] } })
  assert.deepEqual(tenant.preload, [path.resolve('/apps/a/setup.js'), 'dotenv/config'])
  assert.deepEqual(tenant.permission, { read: [path.resolve('/apps/a/data')], write: [path.resolve('/var/x')] })
  assert.deepEqual(resolve({ entry: 'x.js', permission: true }).permission, { read: [], write: [] })
})

test('a wrong setting is named with tenant, value, and what is accepted', () => {
  const cases: [unknown, RegExp][] = [
    [5, /the tenant 'a\.test' is 5; write an entry module/],
    [{}, /neither entry nor mounts/],
    [{ entry: 'a.js', mounts: { '/': 'b.js' } }, /entry and mounts/],
    [{ enrty: 'a.js' }, /unknown setting 'enrty' \(did you mean entry\?\)/],
    [{ entry: '' }, /entry of the tenant 'a\.test' is ''/],
    [{ entry: 'file://host/x.js' }, /entry of the tenant 'a\.test'/],
    [{ entry: 'a.js', kind: 'express' }, /kind of .* is 'express'; write auto, listen, node, fetch/],
    [{ entry: 'a.js', env: { PORT: 3000 } }, /env\.PORT of .* is 3000; write text/],
    [{ entry: 'a.js', env: { 'A=B': 'x' } }, /variable 'A=B'/],
    [{ entry: 'a.js', limits: { memory: '1gb' } }, /unknown setting 'memory'/],
    [{ entry: 'a.js', limits: { memoryLimit: '1M' } }, /limits\.memoryLimit of the tenant 'a\.test' is '1M'; write/],
    [{ entry: 'a.js', limits: { startupTimeout: 0 } }, /limits\.startupTimeout .* is 0/],
    [{ entry: 'a.js', permission: { reed: [] } }, /did you mean read\?/],
    [{ entry: 'a.js', preload: [1] }, /preload/],
    [{ entry: 'a.js', applicationGroup: 5 }, /applicationGroup .* is 5/],
    [{ entry: 'a.js', applicationGroup: '%{HOSTS}' }, /applicationGroup of the tenant 'a\.test'/],
    [{ entry: 'a.js', threads: 0 }, /threads of the tenant 'a\.test' is 0; write a whole number from 1 to 256/],
    [{ entry: 'a.js', threads: 257 }, /threads .* is 257/],
    [{ entry: 'a.js', threads: 1.5 }, /threads .* is 1\.5/],
    [{ entry: 'a.js', threads: '2' }, /threads .* is '2'/],
    [{ mounts: {} }, /mounts/],
    [{ mounts: { blog: 'b.js' } }, /path 'blog'/],
    [{ mounts: { '/../x': 'b.js' } }, /path '\/\.\.\/x'/],
    [{ mounts: { '/a//b': 'b.js' } }, /path '\/a\/\/b'/],
    [{ mounts: { '/a?b': 'b.js' } }, /path '\/a\?b'/],
    [{ mounts: { '/a': 'b.js', '/a/': 'c.js' } }, /twice/],
  ]
  for (const [given, message] of cases) {
    assert.throws(() => resolve(given), (error: Error & { code?: string }) => {
      assert.match(error.message, message)
      assert.equal(error.code, 'ERR_OPTION_INVALID')
      return true
    })
  }
})

test('the revision changes with the settings and not otherwise', () => {
  const revision = (given: unknown): string => resolve(given).revision
  assert.equal(revision({ entry: 'a.js' }), revision({ entry: 'a.js' }))
  assert.notEqual(revision({ entry: 'a.js' }), revision({ entry: 'a.js', env: { A: '1' } }))
})
