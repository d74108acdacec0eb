import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { openSource } from '../../src/group/tenant-source.ts'
import type { TenantSource } from '../../src/group/tenant-source.ts'
import type { FoundTenant } from '../../src/group/tenant.ts'
import { NegativeCache } from '../../src/group/negative-cache.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { codeOf } from './house.ts'
import { DEFAULTS } from './source-defaults.ts'

/** A file that exists wherever the tests run. */
const ENTRY = path.resolve('package.json')

function open(source: TenantSource, clock = new FakeClock()): ReturnType<typeof openSource> {
  return openSource(source, DEFAULTS, clock)
}

test('a Map and an object name hosts, wildcards and a fallback', () => {
  const entries = { 'A.Example.Test': ENTRY, '*.example.test': { entry: ENTRY }, _default: ENTRY }
  for (const source of [entries, new Map(Object.entries(entries))]) {
    const directory = open(source)
    assert.deepEqual(directory.patterns(), ['a.example.test', '*.example.test', '_default'])
    const rules = ['a.example.test', 'b.example.test', 'other.test'].map((host) => (directory.find(host) as FoundTenant).pattern)
    assert.deepEqual(rules, ['a.example.test', '*.example.test', '_default'])
  }
})

test('a wrong host or setting in an object throws at once; an entry that is missing is a problem', () => {
  assert.throws(() => open({ 'a b': ENTRY }), { code: 'ERR_OPTION_INVALID', message: /"a b"/ })
  assert.throws(() => open({ 'a.test': ENTRY, 'A.test': ENTRY }), { code: 'ERR_OPTION_INVALID', message: /'a\.test' twice/ })
  assert.throws(() => open({ 'a.test': { entry: ENTRY, limits: { maxQueue: -1 } } }), { code: 'ERR_OPTION_INVALID' })
  const directory = open({ 'a.test': './nowhere.js', 'b.test': ENTRY })
  assert.deepEqual(directory.patterns(), ['b.test'])
  assert.match(directory.problems()[0]?.message ?? '', /nowhere\.js' does not exist/)
})

test('a Map that changed is read again by refresh', async () => {
  const source = new Map([['a.test', ENTRY], ['b.test', ENTRY]])
  const directory = open(source)
  source.delete('a.test')
  source.set('c.test', ENTRY)
  assert.deepEqual(await directory.refresh(), { added: ['c.test'], changed: [], removed: ['a.test'] })
})

test('a function that answers at once is answered at once, and its answer is kept for a minute', async () => {
  const clock = new FakeClock()
  let asked = 0
  const directory = open((host) => {
    asked++
    return host === 'a.test' ? ENTRY : undefined
  }, clock)
  assert.equal(directory.patterns(), undefined)
  assert.equal((directory.find('a.test') as FoundTenant).pattern, '*')
  await directory.find('a.test')
  assert.equal(asked, 1)
  await clock.pass(60_001)
  await directory.find('a.test')
  assert.equal(asked, 2)
})

test('a host is asked for once, however many requests wait for the answer', async () => {
  let answer: (tenant: string) => void = () => {}
  let asked = 0
  const directory = open(() => {
    asked++
    return new Promise<string>((resolve) => {
      answer = resolve
    })
  })
  const waiting = Array.from({ length: 50 }, () => Promise.resolve(directory.find('a.test')))
  answer(ENTRY)
  const found = await Promise.all(waiting)
  assert.equal(asked, 1)
  assert.ok(found.every((one) => one === found[0] && one !== undefined))
})

test('"there is none" is remembered for half a minute, a failure only for a moment', async () => {
  const clock = new FakeClock()
  const asked: string[] = []
  const directory = open((host) => {
    asked.push(host)
    if (host === 'bad.test') throw new Error('database down')
    return undefined
  }, clock)
  for (let time = 0; time < 3; time++) {
    assert.equal(directory.find('none.test'), undefined)
    assert.equal(await codeOf(() => directory.find('bad.test')), 'ERR_START_FAILED')
  }
  assert.deepEqual(asked, ['none.test', 'bad.test'])
  await clock.pass(2001)
  assert.equal(await codeOf(() => directory.find('bad.test')), 'ERR_START_FAILED')
  await directory.find('none.test')
  assert.deepEqual(asked, ['none.test', 'bad.test', 'bad.test'])
  await clock.pass(30_000)
  await directory.find('none.test')
  assert.equal(asked.at(-1), 'none.test')
})

test('a rejected look-up and a wrong answer are failures with a status, never a bare option error', async () => {
  const rejecting = open(async () => await Promise.reject(new Error('down')))
  assert.equal(await codeOf(() => rejecting.find('a.test')), 'ERR_START_FAILED')
  const wrong = open(() => ({ enrty: 'x' }) as never)
  assert.throws(() => wrong.find('a.test'), { code: 'ERR_START_FAILED', message: /did you mean entry/ })
})

test('a look-up that takes too long is given up, and its signal is aborted', async () => {
  const clock = new FakeClock()
  let signal: AbortSignal | undefined
  const directory = open(async (_, given) => {
    signal = given
    return await new Promise<undefined>(() => {})
  }, clock)
  const code = codeOf(() => directory.find('a.test'))
  await clock.pass(5000)
  assert.equal(await code, 'ERR_START_TIMEOUT')
  assert.equal(signal?.aborted, true)
  assert.equal(clock.timers, 0)
})

test('a flood of hosts opens a bounded number of look-ups', async () => {
  let open_ = 0
  const directory = open(async () => {
    open_++
    return await new Promise<undefined>(() => {})
  })
  const codes = Array.from({ length: 1000 }, (_, index) => {
    try {
      void directory.find(`h${index}.test`)
      return 'asked'
    } catch (error) {
      return (error as { code: string }).code
    }
  })
  await settle()
  assert.equal(open_, 64)
  assert.equal(codes.filter((code) => code === 'ERR_QUEUE_FULL').length, 936)
})

test('one object for many hosts is resolved once', () => {
  const tenant = { entry: ENTRY }
  const directory = open(() => tenant)
  assert.equal((directory.find('a.test') as FoundTenant).tenant, (directory.find('b.test') as FoundTenant).tenant)
})

test('refresh forgets what a function answered', async () => {
  let asked = 0
  const directory = open(() => {
    asked++
    return undefined
  })
  await directory.find('a.test')
  await directory.refresh()
  await directory.find('a.test')
  assert.equal(asked, 2)
})

test('the memory of unknown hosts is bounded', () => {
  const cache = new NegativeCache(new FakeClock())
  for (let host = 0; host < 20_000; host++) cache.remember(`h${host}.test`)
  assert.equal(cache.size, 5000)
  assert.equal(cache.get('h0.test'), undefined)
  assert.deepEqual(cache.get('h19999.test'), { error: undefined })
})
