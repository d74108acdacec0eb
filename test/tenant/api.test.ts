import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { ask, askJson, eventually } from '../behaviour/client.ts'
import { openHouse } from '../behaviour/house.ts'
import type { TestContext } from 'node:test'
import type { House } from '../behaviour/house.ts'

const API = new URL('../../src/tenant/api.js', import.meta.url).href
const run = promisify(execFile)

const APPLICATION = `
import { label, processGroup, onDrain, waitUntil } from '${API}'
import * as again from '${API}?another-copy'
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const handlers = {
  '/names': (res) => res.end(JSON.stringify({ label, processGroup, again: again.label })),
  '/drain': (res) => {
    onDrain(() => console.log('drain begins'))
    onDrain(async () => { await later(150); console.log('drain is done') })
    again.onDrain(() => { throw new Error('a listener that fails') })
    onDrain(() => console.log('never'))()
    res.end()
  },
  '/late': async (res) => {
    onDrain(() => { onDrain(() => console.log('late listener')); res.end('answered while draining') })
  },
  '/work': (res) => {
    waitUntil(later(150).then(() => console.log('work is done')))
    res.end()
  },
  '/stuck': (res) => {
    onDrain(() => new Promise(() => {}))
    res.end()
  },
}
export default (req, res) => handlers[req.url](res)
`

async function open(t: TestContext, drainTimeout = 5000): Promise<House> {
  return await openHouse(t, { 'a.test': APPLICATION }, { drainTimeout })
}

const said = ({ log }: House): string[] => log.map(({ msg }) => msg)

test('an application reads the names of its groups, from whichever copy of the module', async (t) => {
  const { port } = await open(t)
  assert.deepEqual(await askJson(port, 'a.test', '/names'), { label: `a.test:${port}`, processGroup: '', again: `a.test:${port}` })
})

test('a drain tells every listener once, waits for what it returns, and logs what one throws', async (t) => {
  const house = await open(t)
  await ask(house.port, 'a.test', '/drain')
  const { terminated } = await house.runtime.close()
  const lines = said(house)
  assert.equal(terminated, 0)
  assert.deepEqual(lines.filter((line) => /^(drain|never)/.test(line)), ['drain begins', 'drain is done'])
  assert.ok(lines.some((line) => line.includes('a listener that fails')), lines.join('\n'))
})

test('a listener hears of the drain while requests are still in flight', async (t) => {
  const house = await open(t)
  const answer = ask(house.port, 'a.test', '/late')
  await eventually('the request is in flight', () => house.runtime.stats().inFlight === 1)
  const { terminated } = await house.runtime.close()
  assert.deepEqual([(await answer).text, terminated], ['answered while draining', 0])
  assert.ok(said(house).includes('late listener'), 'one that is added during the drain is called at once')
})

test('waitUntil keeps a context from ending before the work is done', async (t) => {
  const house = await open(t)
  await ask(house.port, 'a.test', '/work')
  assert.equal(await house.runtime.evict(`a.test:${house.port}`), true)
  assert.ok(said(house).includes('work is done'))
})

test('a listener that never ends is cut at drainTimeout', async (t) => {
  const house = await open(t, 300)
  await ask(house.port, 'a.test', '/stuck')
  const from = performance.now()
  const { terminated } = await house.runtime.close()
  assert.ok(terminated === 1 && performance.now() - from < 3000)
})

test('under plain node there is no context: no names, no drain, and node waits for open work itself', async () => {
  const script = `
    import { label, processGroup, onDrain, waitUntil } from '${API}'
    const remove = onDrain(() => console.log('never'))
    waitUntil(new Promise((resolve) => setTimeout(resolve, 20)).then(() => console.log('work is done')))
    console.log(typeof remove(), label, processGroup)`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script])
  assert.equal(stdout, 'undefined undefined undefined\nwork is done\n')
})
