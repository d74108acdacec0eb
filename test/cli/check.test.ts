import { test } from 'node:test'
import assert from 'node:assert/strict'
import { run } from '../../src/cli/program.ts'
import type { TenantDescription } from '../../src/describe.ts'
import { fakeWorld, makeFolder } from './fake-world.ts'

const MB = 1024 ** 2

const TENANT: TenantDescription = {
  pattern: 'a.example.test',
  kind: 'auto',
  threads: 2,
  mounts: [
    { path: '/blog', entry: '/srv/a/blog.mjs', applicationGroup: 'a.example.test:8080', processGroup: '' },
    { path: '', entry: '/srv/a/index.mjs', applicationGroup: '', processGroup: 'daemon' },
  ],
  limits: {
    startupTimeout: 1,
    memoryLimit: 256 * MB, bufferLimit: 0,
    deadlockTimeout: 1,
    cpuTimeLimit: 0,
    maxRequests: 0,
    maxAge: 0,
    terminateTimeout: 1, trimTimeout: 0,
    handlerTimeout: 60_000,
    idleTimeout: 0,
    bodyLimit: 0,
    maxInFlight: 1,
    maxQueue: 1,
  },
  certificate: null,
}

test('a table with a certificate says until when it is valid', async (t) => {
  const certificate = { hosts: 'DNS:a.example.test', validTo: '2031-05-06T07:08:09.000Z' }
  const tenants = [{ ...TENANT, certificate }, { ...TENANT, pattern: 'b.example.test' }]
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { description: { tenants, problems: [] } })
  await run(['check'], world)
  const [head = '', first = '', , second = ''] = world.out.join('').split('\n')
  const at = head.indexOf('CERTIFICATE')
  assert.equal(first.slice(at).split('  ')[0], 'until 2031-05-06')
  assert.equal(second.slice(at).split('  ')[0], '-')
})

test('a table shows label and limits of every tenant, and the caps', async (t) => {
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { description: { tenants: [TENANT], problems: [] } })
  assert.deepEqual(await run(['check', '--max-contexts', '20'], world), { code: 0, stuck: false })
  assert.deepEqual(world.out.join('').split('\n').slice(0, 4), [
    'HOST            GROUP                PROCESS  KIND  THREADS  MOUNT  MEMORY  IDLE  HANDLER  ENTRY',
    'a.example.test  a.example.test:8080  -        auto  2        /blog  256mb   off   1m       /srv/a/blog.mjs',
    '                %{GLOBAL}            daemon                  /                             /srv/a/index.mjs',
    '',
  ])
  assert.match(world.out.join(''), /1 tenant; caps: 20 contexts/)
  assert.deepEqual(world.err, [])
  assert.equal(world.runtimes.length, 0)
})

test('--json is the same for machines, with every resolved scalar', async (t) => {
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { description: { tenants: [TENANT], problems: [] } })
  await run(['check', '--json', '--idle-timeout', '5m', '--port', '81'], world)
  const report = JSON.parse(world.out.join('')) as { tenants: unknown; options: Record<string, unknown>; port: number }
  assert.deepEqual(report.tenants, [TENANT])
  assert.equal(report.options['idleTimeout'], 300_000)
  assert.equal(report.options['applicationGroup'], '%{HOST}')
  assert.equal(report.port, 81)
  assert.ok(!('logger' in report.options))
})

test('what is wrong is a line for each on stderr, and exit code 2', async (t) => {
  const problems = [
    { pattern: 'b.example.test', message: 'no entry was found' },
    { pattern: 'Bad_Name', message: 'write bad-name' },
  ]
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { description: { tenants: [TENANT], problems } })
  assert.equal((await run(['check'], world)).code, 2)
  assert.equal(world.err.join(''), 'tenantry: b.example.test: no entry was found\ntenantry: Bad_Name: write bad-name\n')
  assert.match(world.out.join(''), /a\.example\.test/)
})

test('a folder without tenants is wrong, and a function of hosts is not', async (t) => {
  const empty = fakeWorld(makeFolder(t, { 'tenants/x': '' }))
  assert.equal((await run(['check'], empty)).code, 2)
  assert.match(empty.err.join(''), /^tenantry: no tenants were found\n$/)
  const named = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { description: { tenants: undefined, problems: [] } })
  assert.equal((await run(['check'], named)).code, 0)
  assert.match(named.out.join(''), /named by a function/)
})
