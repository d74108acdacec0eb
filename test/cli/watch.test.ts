import { test, type TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { watchPaths } from '../../src/cli/watch.ts'
import type { Clock } from '../../src/clock.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import { makeFolder } from './fake-world.ts'

/** Counts the timers that a change starts: a change was seen when one more was started. */
class CountingClock extends FakeClock {
  started = 0

  override after(milliseconds: number, run: () => void): () => void {
    this.started++
    return super.after(milliseconds, run)
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 250 && !holds(); i++) await pause(20)
  assert.ok(holds(), 'did not happen within five seconds')
}

function start(
  t: TestContext,
  clock: Clock,
  paths: readonly string[],
): { changes: number; errors: NodeJS.ErrnoException[] } {
  const seen = { changes: 0, errors: [] as NodeJS.ErrnoException[] }
  t.after(watchPaths({ paths, clock, onChange: () => seen.changes++, onError: (error) => seen.errors.push(error) }))
  return seen
}

test('many changes at once are one, after a pause', async (t) => {
  const folder = makeFolder(t)
  const clock = new CountingClock()
  const seen = start(t, clock, [folder])
  for (let i = 0; i < 20; i++) writeFileSync(join(folder, `f${i}`), '')
  await until(() => clock.started >= 20)
  assert.equal(seen.changes, 0)
  clock.advance(200)
  assert.equal(seen.changes, 1)
})

test('a change inside a tenant is noticed', async (t) => {
  const folder = makeFolder(t, { 'a.example.test/server.mjs': '' })
  const clock = new CountingClock()
  const seen = start(t, clock, [folder])
  // Watches below the first level are set up a moment later.
  await until(() => {
    writeFileSync(join(folder, 'a.example.test', 'server.mjs'), String(Math.random()))
    return clock.started > 0
  })
  clock.advance(200)
  assert.equal(seen.changes, 1)
})

test('changes that never pause are noticed within two seconds', async (t) => {
  const folder = makeFolder(t)
  const clock = new CountingClock()
  const seen = start(t, clock, [folder])
  for (let at = 0; at < 2000; at += 100) {
    const before = clock.started
    writeFileSync(join(folder, `f${at}`), '')
    await until(() => clock.started > before)
    clock.advance(100)
  }
  assert.ok(seen.changes >= 1)
})

test('what a package manager or an editor does for itself is no change', async (t) => {
  const folder = makeFolder(t)
  const clock = new CountingClock()
  const seen = start(t, clock, [folder])
  mkdirSync(join(folder, 'node_modules'))
  for (const name of ['.x.swp', 'server.mjs~', 'node_modules/x']) writeFileSync(join(folder, name), '')
  await pause(50)
  clock.advance(5000)
  assert.equal(seen.changes, 0)
  writeFileSync(join(folder, 'real'), '')
  await until(() => clock.started > 0)
})

test('a file is noticed even when an editor puts a new one in its place, and its neighbours are not', async (t) => {
  const folder = makeFolder(t, { 'tenantry.json': '1' })
  const clock = new CountingClock()
  start(t, clock, [join(folder, 'tenantry.json')])
  writeFileSync(join(folder, 'other.json'), '')
  await pause(50)
  assert.equal(clock.started, 0)
  for (let i = 1; i <= 2; i++) {
    const before = clock.started
    writeFileSync(join(folder, 'new'), '')
    renameSync(join(folder, 'new'), join(folder, 'tenantry.json'))
    await until(() => clock.started > before)
  }
})

test('a path that cannot be watched is reported, not thrown', (t) => {
  const seen = start(t, new FakeClock(), ['/does/not/exist'])
  assert.equal(seen.errors[0]?.code, 'ENOENT')
})
