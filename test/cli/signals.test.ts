import { test } from 'node:test'
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { onSignals } from '../../src/cli/signals.ts'

test('the first signal drains, the second forces, and then none is listened to', () => {
  const source = new EventEmitter()
  const calls: unknown[] = []
  onSignals(source, {
    drain: (signal) => calls.push(['drain', signal]),
    force: (signal, code) => calls.push(['force', signal, code]),
    reload: async () => {
      calls.push('reload')
    },
  })
  source.emit('SIGINT')
  source.emit('SIGHUP')
  source.emit('SIGTERM')
  assert.deepEqual(calls, [
    ['drain', 'SIGINT'],
    ['force', 'SIGTERM', 143],
  ])
  assert.deepEqual(source.eventNames(), [])
})

test('any number of SIGHUPs during a reload are one more reload', async (t) => {
  const source = new EventEmitter()
  const pending: (() => void)[] = []
  t.after(
    onSignals(source, {
      drain: () => {},
      force: () => {},
      reload: () => new Promise<void>((resolve) => pending.push(resolve)),
    }),
  )
  for (let i = 0; i < 100; i++) source.emit('SIGHUP')
  assert.equal(pending.length, 1)
  pending[0]?.()
  await turn()
  assert.equal(pending.length, 2)
  pending[1]?.()
  await turn()
  assert.equal(pending.length, 2)
  source.emit('SIGHUP')
  assert.equal(pending.length, 3)
})
