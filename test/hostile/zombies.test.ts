import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from '../behaviour/client.ts'
import { tenantFolder } from '../behaviour/house.ts'
import { attack, openPrison } from './prison.ts'

const STUCK = `export default (req, res) => {
  if (req.url === '/go') Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)
  res.end('fine')
}`

// In threads of the command itself: a daemon past maxZombies is replaced instead.
const FLAGS = [
  '--processes', '0',
  '--deadlock-timeout', '1s', '--terminate-timeout', '500ms', '--drain-timeout', '500ms', '--max-contexts', '10',
]

/** On a crowded machine; alone it takes a fraction. */
const BOUND = 8000

test('past maxZombies the command starts nothing, serves who lives, and SIGTERM still ends it', async (t) => {
  const folder = await tenantFolder(t, { 'stuck.test': STUCK, 'live.test': STUCK, 'late.test': STUCK })
  const prison = await openPrison(folder, 'relay', [...FLAGS, '--max-zombies', '0'])
  t.after(prison.kill)
  assert.equal((await ask(prison.port, 'live.test')).status, 200)
  assert.equal(await attack(prison.port, 'stuck.test', 6000), '502 `ERR_CONTEXT_DEADLOCK`')
  await eventually('there is a zombie', () => prison.log.some(({ msg }) => msg.includes('as a zombie')))
  const told = prison.log.filter(({ msg, reason }) => msg.startsWith('context ended') && reason === 'deadlock')
  assert.deepEqual(told.map((line) => String(line['label']).split(':')[0]), ['stuck.test'], 'its end is told once, by name, though the thread is there')
  const late = await ask(prison.port, 'late.test')
  assert.deepEqual([late.status, late.headers['retry-after']], [503, '30'])
  assert.equal((await ask(prison.port, 'live.test')).status, 200)
  const since = performance.now()
  process.kill(prison.pid, 'SIGTERM')
  await eventually('the process is gone', () => !prison.alive(), BOUND)
  assert.ok(performance.now() - since < BOUND)
  assert.equal(prison.log.filter(({ msg }) => msg === 'threads could not be ended').length, 1)
})

test('up to maxZombies others are started beside a zombie', async (t) => {
  const folder = await tenantFolder(t, { 'stuck.test': STUCK, 'late.test': STUCK })
  const prison = await openPrison(folder, 'relay', [...FLAGS, '--max-zombies', '1'])
  t.after(prison.kill)
  await attack(prison.port, 'stuck.test', 6000)
  await eventually('there is a zombie', () => prison.log.some(({ msg }) => msg.includes('as a zombie')))
  assert.equal((await ask(prison.port, 'late.test')).status, 200)
})
