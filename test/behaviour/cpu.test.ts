import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, eventually } from './client.ts'
import { COUNTING, openHouse } from './house.ts'

const BUSY = `
export default (req, res) => {
  if (req.url === '/spin') while (true) {}
  const end = Date.now() + (req.url === '/work' ? 150 : 0)
  while (Date.now() < end) {}
  res.end('fine')
}
`

test('a context that has used its CPU time is replaced between requests, without a failed one', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': BUSY }, { cpuTimeLimit: '3s' })
  await eventually('a second context serves', async () => {
    const { status } = await ask(port, 'a.test', '/work')
    assert.equal(status, 200)
    // Half of a core: between two looks it cannot get from below the limit to a quarter above it.
    await new Promise((resolve) => setTimeout(resolve, 100))
    return runtime.stats().births > 1
  }, 30_000)
  assert.equal(runtime.stats().evictions.cpu, 1)
})

test('a context that spins past its CPU time is ended, its client hears 502, and a neighbour is served', async (t) => {
  const { port, log } = await openHouse(t, { 'a.test': BUSY, 'b.test': COUNTING }, {
    lane: 'relay',
    // Caught below the quarter above it is drained first, and a drain of the house's half second would be over first.
    cpuTimeLimit: '1s', deadlockTimeout: 0, drainTimeout: '10s',
  })
  assert.equal((await ask(port, 'a.test')).status, 200)
  const spinning = ask(port, 'a.test', '/spin')
  assert.equal((await ask(port, 'b.test')).status, 200)
  assert.equal((await spinning).status, 502)
  assert.ok(log.some((line) => line.msg === 'request failed' && line['code'] === 'ERR_CONTEXT_CPU'))
  await eventually('the log says why', () => log.some((line) => line['reason'] === 'cpu' && line.msg.startsWith('context ended')))
  assert.equal((await ask(port, 'a.test')).status, 200)
})
