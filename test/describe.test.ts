import { test } from 'node:test'
import assert from 'node:assert/strict'
import { describeDirectory } from '../src/describe.ts'
import { resolveCertificate } from '../src/group/certificate-source.ts'
import type { ListenTls } from '../src/http/tls-options.ts'
import type { ResolvedTenant, TenantDirectory } from '../src/group/tenant.ts'
import { createAllowList } from '../src/label/allow.ts'
import { createLabel } from '../src/label/expand.ts'
import type { LabelSpec } from '../src/label/request-facts.ts'
import { resolveOptions } from '../src/options.ts'

const options = resolveOptions({ tenants: 'x' })

function tenant(applicationGroup: LabelSpec, processGroup: LabelSpec = ''): ResolvedTenant {
  const settings = { serverName: 'localhost', labelPort: 'accepting', environment: {} } as const
  return {
    mounts: [
      { path: '/blog', entry: '/srv/blog.mjs' },
      { path: '', entry: '/srv/index.mjs' },
    ],
    kind: 'auto',
    threads: 1,
    env: {},
    preload: [],
    applicationGroup: createLabel(applicationGroup, settings),
    processGroup: createLabel(processGroup, settings),
    permission: undefined,
    directory: '/srv',
    tls: undefined,
    identity: '1',
    revision: '1',
    contextLimits: {
      startupTimeout: 1,
      memoryLimit: 2, bufferLimit: 0,
      cpuTimeLimit: 2,
      deadlockTimeout: 3,
      maxRequests: 4,
      maxAge: 5,
      terminateTimeout: 6, trimTimeout: 0,
    },
    groupLimits: { handlerTimeout: 7, idleTimeout: 8, bodyLimit: 9, maxInFlight: 10, maxQueue: 11 },
  }
}

function directory(tenants: Record<string, ResolvedTenant> | undefined): TenantDirectory {
  return {
    find(host) {
      const pattern = [host, host.replace(/^[^.]+/, '*')].find((name) => tenants?.[name] !== undefined)
      return pattern === undefined ? undefined : { pattern, tenant: tenants?.[pattern] as ResolvedTenant }
    },
    patterns: () => tenants && Object.keys(tenants),
    rules: () => tenants && createAllowList(Object.keys(tenants)),
    problems: () => [{ pattern: 'broken.test', message: 'm' }],
    refresh: async () => ({ added: [], changed: [], removed: [] }),
  }
}

test('every tenant is described with the groups that a request would get', async () => {
  const source = directory({
    'a.test': tenant('%{RESOURCE}'),
    '*.b.test': tenant('%{HOST}'),
    'c.test': tenant('%{ENV:WHO}'),
  })
  const { tenants, problems } = await describeDirectory(source, options, 8080)
  assert.deepEqual(problems, [{ pattern: 'broken.test', message: 'm' }])
  assert.deepEqual(
    tenants?.map(({ pattern, mounts }) => [pattern, mounts.map(({ applicationGroup }) => applicationGroup)]),
    [
      ['a.test', ['localhost:8080|/blog', 'localhost:8080|']],
      ['*.b.test', ['*.b.test:8080', '*.b.test:8080']],
      ['c.test', ['(env)', '(env)']],
    ],
  )
  assert.equal(tenants?.[0]?.limits.memoryLimit, 2)
  assert.equal(tenants?.[0]?.limits.maxQueue, 11)
})

test('a source that cannot list its tenants is described as such', async () => {
  assert.equal((await describeDirectory(directory(undefined), options, 80)).tenants, undefined)
})

test('a process group that nobody declared is a problem of its tenant, where its name does not depend on the request', async () => {
  const source = directory({
    'a.test': tenant('%{HOST}', 'shop'),
    'b.test': tenant('%{HOST}', 'shpo'),
    'c.test': tenant('%{HOST}', '%{HOST}'),
  })
  const { problems } = await describeDirectory(source, resolveOptions({ tenants: 'x', processGroups: { shop: {} } }), 8080)
  assert.deepEqual(problems.map(({ pattern }) => pattern), ['broken.test', 'b.test'])
  assert.match(problems[1]?.message ?? '', /'shpo' is not declared/)
})

test('threads of a tenant whose context is the main thread of a daemon are a problem', async () => {
  const source = directory({
    'a.test': { ...tenant('%{GLOBAL}', 'shop'), threads: 4 },
    'b.test': { ...tenant('%{GLOBAL}'), threads: 4 },
    'c.test': { ...tenant('%{HOST}', 'shop'), threads: 4 },
  })
  const { tenants, problems } = await describeDirectory(source, resolveOptions({ tenants: 'x', processGroups: { shop: {} } }), 8080)
  assert.deepEqual(problems.map(({ pattern }) => pattern), ['broken.test', 'a.test'])
  assert.match(problems[1]?.message ?? '', /threads is 4/)
  assert.equal(tenants?.[0]?.threads, 4)
})

test('where TLS is asked for and the server has no certificate, a tenant without one is a problem', async () => {
  const source = directory({
    'a.test': tenant('%{HOST}'),
    'b.test': { ...tenant('%{HOST}'), tls: resolveCertificate('tls', { cert: 'b.pem', key: 'b.key' }, '/srv') },
  })
  const about = async (tls?: ListenTls): Promise<string[]> => {
    const { problems } = await describeDirectory(source, options, 443, tls)
    return problems.filter(({ message }) => message.includes('no certificate for it')).map(({ pattern }) => pattern)
  }
  assert.deepEqual(await about({}), ['a.test'])
  assert.deepEqual(await about({ cert: 'all.pem', key: 'all.key' }), [])
  assert.deepEqual(await about(), [], 'plain HTTP needs none')
})
