import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Hooks, viewOf } from '../../src/http/hooks.ts'
import { FakeClock } from '../group/fake-clock.ts'
import type { AccessHook, DispatchHook } from '../../src/http/hooks.ts'

const VIEW = viewOf(
  { host: 'a.test', hostPort: undefined, acceptingPort: 80, method: 'GET', url: '/', rawHeaders: ['__proto__', 'x', 'A', '1', 'a', '2'] },
  'a.test',
  { clientAddress: '127.0.0.1', clientPort: 1, encrypted: false },
)

function hooks(one: { dispatch?: DispatchHook; access?: AccessHook }): { hooks: Hooks; clock: FakeClock } {
  const clock = new FakeClock()
  return { hooks: new Hooks({ dispatch: undefined, access: undefined, ...one, queueTimeout: 1000, clock }), clock }
}

test('a field of any name is only a field of the view', () => {
  assert.deepEqual(Object.entries(VIEW.headers), [['__proto__', 'x'], ['a', '1, 2']])
  assert.equal(Object.getPrototypeOf(VIEW.headers), null)
})

test('without an access hook every request passes, and without a dispatch hook nothing changes', async () => {
  assert.equal(await hooks({}).hooks.admit(VIEW), undefined)
  assert.equal(await hooks({}).hooks.dispatch(VIEW), undefined)
})

test('a misspelt answer is an error that names the nearest, and not a request that goes elsewhere', async () => {
  const misspelt = hooks({ dispatch: () => ({ applicationgroup: 'x' }) as never })
  await assert.rejects(misspelt.hooks.dispatch(VIEW), { code: 'ERR_HOOK_FAILED', message: /'applicationgroup'.*applicationGroup/ })
  for (const answer of [null, 'eu', 7, true]) {
    await assert.rejects(hooks({ dispatch: () => answer as never }).hooks.dispatch(VIEW), { code: 'ERR_HOOK_FAILED' })
  }
})

test('a promise of another library is one, too', async () => {
  // eslint-disable-next-line unicorn/no-thenable -- what such a library makes
  const thenable = { then: (resolve: (value: boolean) => void) => resolve(false) } as unknown as PromiseLike<boolean>
  await assert.rejects(hooks({ access: () => thenable }).hooks.admit(VIEW), { code: 'ERR_ACCESS_DENIED', status: 403 })
})

test('only so many answers are waited for; those that end make room', async () => {
  const { hooks: bounded, clock } = hooks({ access: () => new Promise(() => {}) })
  const waiting = Promise.allSettled(Array.from({ length: 1024 }, () => bounded.admit(VIEW)))
  await assert.rejects(bounded.admit(VIEW), { code: 'ERR_QUEUE_FULL', retryAfter: 1 })
  await clock.pass(1000)
  const ends = await waiting
  assert.deepEqual(new Set(ends.map((end) => end.status === 'rejected' && (end.reason as { code: string }).code)), new Set(['ERR_QUEUE_TIMEOUT']))
  const late = assert.rejects(bounded.admit(VIEW), { code: 'ERR_QUEUE_TIMEOUT' })
  await clock.pass(1000)
  await late
})

test('a hook that answers after its deadline changes nothing any more', async () => {
  let answer: (verdict: boolean) => void = () => {}
  const { hooks: late, clock } = hooks({ access: () => new Promise((resolve) => { answer = resolve }) })
  const verdict = assert.rejects(late.admit(VIEW), { code: 'ERR_QUEUE_TIMEOUT' })
  await clock.pass(1000)
  answer(true)
  await verdict
  assert.equal(clock.timers, 0)
})
