import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { ListedDirectory } from '../../src/group/listed-directory.ts'
import { resolveTenant } from '../../src/group/resolve-tenant.ts'
import { openSource, openSourceLater } from '../../src/group/tenant-source.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { DEFAULTS } from './source-defaults.ts'
import type { Clock } from '../../src/clock.ts'
import type { Listing } from '../../src/group/listed-directory.ts'
import type { Steps } from '../../src/group/slices.ts'
import type { FoundTenant } from '../../src/group/tenant.ts'

const ENTRY = path.resolve('package.json')
const TENANT = resolveTenant(ENTRY, { pattern: 'x', base: '/' }, DEFAULTS)

/** Each look at it takes a millisecond: whoever looks once a step does a step a millisecond. */
function busyClock(): Clock {
  let now = 0
  return { ...systemClock, now: () => now++ }
}

test('a source is read again in slices: the event loop turns between, and the old tenants are served meanwhile', async () => {
  let steps = 0
  function* read(): Steps<Listing> {
    const version = steps === 0 ? 'old' : 'new'
    for (let tenant = 0; tenant < 1000; tenant++) {
      steps++
      yield
    }
    return { tenants: new Map([[`${version}.test`, TENANT]]), problems: [] }
  }
  const directory = new ListedDirectory(read, busyClock()).load()
  steps = 1
  let over = false
  const refreshed = directory.refresh().finally(() => {
    over = true
  })
  let most = 0
  for (let before = steps; !over; before = steps) {
    assert.equal(directory.find('old.test')?.pattern, 'old.test')
    await settle()
    most = Math.max(most, steps - before)
  }
  assert.deepEqual(await refreshed, { added: ['new.test'], changed: [], removed: ['old.test'] })
  assert.ok(most > 0 && most <= 8, `${most} steps without a turn of the loop`)
})

test('of two refreshes the later one counts, also when the earlier one reads longer', async () => {
  let reading = 0
  let begun = 0
  function* read(): Steps<Listing> {
    const name = `v${++begun}.test`
    assert.equal(++reading, 1, 'one at a time')
    for (let step = 0; step < (begun === 2 ? 200 : 1); step++) yield
    reading--
    return { tenants: new Map([[name, TENANT]]), problems: [] }
  }
  const directory = new ListedDirectory(read, busyClock()).load()
  const changes = await Promise.all([directory.refresh(), directory.refresh()])
  assert.deepEqual(changes.map(({ added, removed }) => [...added, ...removed]), [['v2.test', 'v1.test'], ['v3.test', 'v2.test']])
  assert.deepEqual(directory.patterns(), ['v3.test'])
})

test('a refresh that fails leaves the tenants as they were, and the next one reads again', async () => {
  const source = new Map([['a.test', ENTRY]])
  const directory = openSource(source, DEFAULTS, busyClock())
  source.set('not a host', ENTRY)
  await assert.rejects(directory.refresh(), { code: 'ERR_OPTION_INVALID' })
  assert.equal((directory.find('a.test') as FoundTenant).pattern, 'a.test')
  source.delete('not a host')
  source.set('b.test', ENTRY)
  assert.deepEqual((await directory.refresh()).added, ['b.test'])
})

test('a source that is opened for later names nobody until it was read', async () => {
  const directory = openSourceLater({ 'a.test': ENTRY }, DEFAULTS, new FakeClock())
  assert.deepEqual([directory.patterns(), directory.find('a.test'), directory.rules()?.match('a.test')], [[], undefined, undefined])
  assert.deepEqual((await directory.refresh()).added, ['a.test'])
  assert.equal(directory.rules()?.match('a.test'), 'a.test')
})

test('the rules allow what has a tenant: a broken one is nobody, and falls to a wildcard for the question only', () => {
  const lost = './nowhere.js'
  const directory = openSource({ 'broken.test': lost, 'x.w.test': lost, '*.w.test': ENTRY, 'a.test': ENTRY }, DEFAULTS)
  const asked = ['a.test', 'broken.test', 'x.w.test', 'y.w.test', 'other.test']
  assert.deepEqual(asked.map((host) => directory.rules()?.match(host)), ['a.test', undefined, '*.w.test', '*.w.test', undefined])
  assert.deepEqual(asked.map((host) => directory.find(host)).map((found) => (found as FoundTenant | undefined)?.pattern),
    ['a.test', undefined, undefined, '*.w.test', undefined])
})

test('rules that were taken stay as they are when the source is read again', async () => {
  const source = new Map([['a.test', ENTRY]])
  const directory = openSource(source, DEFAULTS)
  const rules = directory.rules()
  source.clear()
  await directory.refresh()
  assert.deepEqual([rules?.match('a.test'), directory.rules()?.match('a.test')], ['a.test', undefined])
})

test('hosts that are given the same value share what it resolves to, under names of their own', () => {
  const tenant = { entry: ENTRY, limits: { maxQueue: 3 } }
  const directory = openSource({ 'a.test': tenant, 'b.test': tenant, 'c.test': { ...tenant } }, DEFAULTS)
  const [a, b, c] = ['a.test', 'b.test', 'c.test'].map((host) => directory.find(host) as FoundTenant)
  assert.equal(a?.tenant, b?.tenant)
  assert.notEqual(a?.tenant, c?.tenant)
  assert.deepEqual([a?.pattern, b?.pattern, c?.tenant.identity], ['a.test', 'b.test', a?.tenant.identity])
})
