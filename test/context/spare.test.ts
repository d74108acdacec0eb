import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { test } from 'node:test'
import { systemClock } from '../../src/clock.ts'
import { Spare } from '../../src/context/spare.ts'
import { startSpare } from '../../src/context/thread.ts'
import { openDaemon } from './in-daemon.ts'
import { appFile, ask, askJson, record, specOf, startEntry } from './start.ts'
import type { TestContext } from 'node:test'
import type { LiveContext } from '../../src/context/live-context.ts'
import type { ContextSpec } from '../../src/context/context.ts'

const SETTINGS = { clock: systemClock, processGroup: '', startupTimeout: 10_000, terminateTimeout: 2000 }

const API = new URL('../../src/tenant/api.js', import.meta.url).href

/** What an application can see of its environment. */
const ENVIRONMENT = `
import { execFileSync } from 'node:child_process'
import { label, processGroup } from '${API}'
process.env.LATE = 5
const seen = {
  names: [label, processGroup],
  entries: Object.entries(process.env).sort(), inLoop: [],
  descriptor: Object.getOwnPropertyDescriptor(process.env, 'PATH'),
  child: execFileSync('/usr/bin/env').toString().split('\\n').sort(),
  has: ['PATH' in process.env, 'toString' in process.env, 'Path' in process.env],
  unknown: String(process.env.NOTHING), tag: Object.prototype.toString.call(process.env),
  zone: new Date(0).getHours(), argv: process.argv.length, cwd: process.cwd(),
}
for (const name in process.env) seen.inLoop.push(name)
seen.inLoop.sort()
delete process.env.PATH
seen.gone = ['PATH' in process.env, process.env.PATH === undefined, Object.keys(process.env).length]
export default (request, response) => response.end(JSON.stringify(seen))
`

const ENV = { PATH: '/usr/bin:/bin', EMPTY: '', TZ: 'Asia/Tokyo', constructor: 'c', 'ÄÖ': 'ü€', NODE_ENV: 'production', HOME: '/h' }

async function booted(spare: Spare): Promise<Spare> {
  while (spare.state === 'starting') await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(spare.state, 'spare')
  return spare
}

function keep(t: TestContext, spare: Spare): Spare {
  const alive = setInterval(() => {}, 1000)
  t.after(async () => {
    clearInterval(alive)
    spare.end('admin')
  })
  return spare
}

function taken(t: TestContext, spare: Spare, spec: ContextSpec): LiveContext {
  const context = spare.take(spec) as LiveContext
  t.after(() => context.terminate('admin'))
  return context
}

test('an application on a spare thread finds the same environment as on a thread of its own', async (t) => {
  const entry = appFile(t, ENVIRONMENT)
  const spare = await booted(keep(t, startSpare(SETTINGS)))
  const late = taken(t, spare, specOf(entry, { label: 'same.test', env: ENV }))
  const own = startEntry(t, entry, { label: 'same.test', env: ENV })
  const [seen, expected] = await Promise.all([late, own].map(async (context) => {
    await context.ready
    return await askJson(context)
  }))
  assert.deepEqual(seen, expected)
  assert.ok(JSON.stringify(seen).includes('["TENANTRY_APPLICATION_GROUP","same.test"]'))
  assert.deepEqual((seen as { readonly names: unknown }).names, ['same.test', ''])
})

test('a spare context waits with an empty environment and says nothing', async (t) => {
  const states = record(t, 'tenantry:spare:state')
  const starts = record(t, 'tenantry:context:start')
  const spare = await booted(keep(t, startSpare({ ...SETTINGS, processGroup: 'mine' })))
  assert.deepEqual(states.map(({ processGroup, from, to }) => [processGroup, from, to]), [['mine', 'starting', 'spare']])
  assert.equal(starts.length, 0, 'no context starts before it is somebody\'s')
  const source = 'export default (q, s) => s.end(JSON.stringify(Object.keys(process.env).sort()))'
  const context = taken(t, spare, specOf(appFile(t, source), { label: 'first.test' }))
  await context.ready
  assert.deepEqual(await askJson(context), ['TENANTRY_APPLICATION_GROUP', 'TENANTRY_PROCESS_GROUP'])
  assert.deepEqual([states.at(-1)?.to, starts.length], ['taken', 1])
})

test('a spare context that is taken while it boots becomes ready all the same', async (t) => {
  const spare = keep(t, startSpare(SETTINGS))
  const context = taken(t, spare, specOf(appFile(t, "export default (q, s) => s.end('here')")))
  await context.ready
  assert.equal((await ask(context, '/')).body, 'here')
  assert.throws(() => spare.take(context.spec), { code: 'ERR_STATE' })
  spare.end('admin')
  assert.equal((await ask(context, '/')).body, 'here', 'what was taken is its context\'s to end')
})

test('what an application on a spare thread writes and dies of is its own', async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const spare = await booted(keep(t, startSpare(SETTINGS)))
  const source = "console.log('begun'); export default () => { throw new Error('boom') }"
  const context = taken(t, spare, specOf(appFile(t, source), { label: 'dies.test' }))
  await context.ready
  await ask(context, '/')
  const end = await context.ended
  assert.deepEqual([end.reason, end.exitCode], ['crash', 1])
  assert.deepEqual(lines.filter(({ label }) => label === 'dies.test').map(({ line }) => line), ['begun'])
})

test('an application that cannot be loaded on a spare thread failed to start', async (t) => {
  const spare = await booted(keep(t, startSpare(SETTINGS)))
  const context = taken(t, spare, specOf(appFile(t, "throw new TypeError('no')"), { label: 'broken.test' }))
  await assert.rejects(context.ready, { code: 'ERR_START_FAILED' })
})

test('a spare context that is told to end is gone, once', async (t) => {
  const spare = await booted(keep(t, startSpare(SETTINGS)))
  spare.end('shutdown')
  spare.end('shutdown')
  await spare.ended
  assert.equal(spare.state, 'exited')
  assert.throws(() => spare.take(specOf('/app.js')), { code: 'ERR_STATE' })
})

test('a spare context that does not boot within startupTimeout ends', async (t) => {
  const states = record(t, 'tenantry:spare:state')
  const spare = keep(t, startSpare({ ...SETTINGS, startupTimeout: 1 }))
  await spare.ended
  assert.deepEqual(states.map(({ to, reason }) => [to, reason]), [['ending', 'startup'], ['exited', 'startup']])
})

test('a spare context holds no process', async () => {
  const module = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const source = `
    import { startSpare } from ${module('context/thread.js')}
    import { systemClock } from ${module('clock.js')}
    const spare = startSpare({ clock: systemClock, processGroup: '', startupTimeout: 10_000, terminateTimeout: 2000 })
    const wait = setInterval(() => {
      if (spare.state !== 'spare') return
      clearInterval(wait)
      console.log('booted')
    }, 5)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], { timeout: 20_000 })
  assert.equal(stdout, 'booted\n')
})

test('a daemon keeps spare contexts, too', async (t) => {
  const daemon = openDaemon(t)
  const spare = keep(t, new Spare(SETTINGS, (listener) => daemon.open(undefined, listener)))
  await booted(spare)
  const entry = appFile(t, ENVIRONMENT)
  const context = taken(t, spare, specOf(entry, { label: 'same.test', env: ENV }))
  const own = startEntry(t, entry, { label: 'same.test', env: ENV })
  await Promise.all([context.ready, own.ready])
  assert.deepEqual(await askJson(context), await askJson(own))
})

test('a spare context goes with its daemon', async (t) => {
  const daemon = openDaemon(t)
  const spare = await booted(keep(t, new Spare(SETTINGS, (listener) => daemon.open(undefined, listener))))
  daemon.kill('crash')
  await spare.ended
  assert.equal(spare.state, 'exited')
})
