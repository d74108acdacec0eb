import { test, type TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { run } from '../../src/cli/program.ts'
import type { Outcome } from '../../src/cli/world.ts'
import type { RuntimeOptions } from '../../src/options.ts'
import { fakeWorld, makeFolder, type FakeRuntime, type FakeWorld, type FakeWorldOptions } from './fake-world.ts'

interface Served {
  readonly world: FakeWorld
  readonly runtime: FakeRuntime
  readonly ended: Promise<Outcome>
  readonly folder: string
}

async function serve(
  t: TestContext,
  args: readonly string[] = [],
  options: FakeWorldOptions = {},
  files: Record<string, string> = { 'tenants/x': '' },
): Promise<Served> {
  const folder = makeFolder(t, files)
  const world = fakeWorld(folder, options)
  const ended = run(['serve', ...args, '--port', '0'], world)
  t.after(async () => {
    world.signals.emit('SIGTERM')
    world.signals.emit('SIGTERM')
    await ended
  })
  await Promise.race([world.logged('listening'), ended])
  return { world, runtime: world.runtimes[0] as FakeRuntime, ended, folder }
}

test('the listening line carries the real url, what is allowed, and the caps', async (t) => {
  const { world } = await serve(t, ['--max-contexts', '20', '--max-connections', '5000'])
  const line = await world.logged('listening')
  assert.match(String(line['url']), /^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
  assert.deepEqual(line['allowed'], ['a.example.test', '*.b.example.test'])
  const { maxContexts, maxGroups, maxConnections } = line['caps'] as Record<string, number>
  assert.deepEqual([maxContexts, maxGroups, maxConnections], [20, 18, 5000])
  assert.equal(await (await fetch(String(line['url']))).text(), 'fake')
  const report = world.err.join('')
  assert.ok(report.includes(`curl -H 'Host: a.example.test' ${String(line['url'])}/`), report)
  assert.match(report, /20 contexts/)
  assert.deepEqual(world.out, [])
})

test('a flag wins over the environment, that over the configuration file, and that over the default', async (t) => {
  const config = JSON.stringify({ tenants: 't', maxQueue: 1, maxInFlight: 1, maxRequests: 1, host: '127.0.0.1' })
  const env = { TENANTRY_MAX_QUEUE: '2', TENANTRY_MAX_IN_FLIGHT: '2', TENANTRY_HOST: '' }
  const { runtime, folder } = await serve(
    t,
    ['tenantry.json', '--max-queue', '3'],
    { env },
    { 'tenantry.json': config },
  )
  const { maxQueue, maxInFlight, maxRequests, maxAge, tenants } = runtime.options
  assert.deepEqual([maxQueue, maxInFlight, maxRequests, maxAge, tenants], [3, 2, 1, 0, join(folder, 't')])
})

test('any host is allowed only by saying so, and that is warned about', async (t) => {
  const { world, runtime } = await serve(t, ['--allow', '*'])
  assert.equal(runtime.options.allowedHosts, true)
  assert.deepEqual((await world.logged('listening'))['allowed'], ['*'])
  assert.ok(world.log.some(({ level, msg }) => level === 40 && String(msg).startsWith('any host is allowed')))
})

test('hosts that are allowed can be named one by one', async (t) => {
  const { runtime, world } = await serve(t, ['--allow', 'a.example.test', '--allow', '*.b.example.test'])
  assert.deepEqual(runtime.options.allowedHosts, ['a.example.test', '*.b.example.test'])
  assert.ok(!world.log.some(({ msg }) => String(msg).startsWith('any host')))
})

test('a flag that may be repeated does not take the folder that follows it', async (t) => {
  const { runtime, folder } = await serve(t, ['--allow', 'a.example.test', 'tenants'])
  assert.deepEqual(runtime.options.allowedHosts, ['a.example.test'])
  assert.equal(runtime.options.tenants, join(folder, 'tenants'))
})

test('a misspelt environment variable is warned about', async (t) => {
  const { world } = await serve(t, [], { env: { TENANTRY_MAX_GROUP: '3', TENANTRY_SOMETHING_ELSE: 'x' } })
  const warnings = world.log.filter(({ msg }) => String(msg).includes('environment variable'))
  assert.deepEqual(
    warnings.map(({ msg }) => msg),
    ["the environment variable 'TENANTRY_MAX_GROUP' is unknown (did you mean TENANTRY_MAX_GROUPS?)"],
  )
})

test('a signal drains and the command ends cleanly', async (t) => {
  const { world, runtime, ended } = await serve(t)
  world.signals.emit('SIGTERM')
  assert.deepEqual(await ended, { code: 0, stuck: false })
  assert.ok(runtime.calls.includes('close') && !runtime.calls.includes('destroy'))
  assert.equal(world.signals.eventNames().length, 0)
  assert.deepEqual(world.log.filter(({ msg }) => msg === 'closed').map(({ lanes }) => lanes), [{ handoff: 3, relay: { head: 1 } }])
})

test('a second signal forces the end with 128 + its number', async (t) => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const { world, runtime, ended } = await serve(t, [], {
      prepare: (fake) => {
        fake.holdClose = new Promise(() => {})
      },
    })
    world.signals.emit('SIGTERM')
    await world.asked('close')
    world.signals.emit(signal)
    assert.deepEqual(await ended, { code, stuck: false })
    assert.ok(runtime.calls.includes('destroy'))
    assert.equal(world.signals.eventNames().length, 0, 'a third signal has its default effect')
  }
})

test('a thread that cannot be ended is told to whoever ends the process', async (t) => {
  const { world, ended } = await serve(t, [], {
    prepare: (fake) => {
      fake.zombies = 1
    },
  })
  world.signals.emit('SIGTERM')
  assert.deepEqual(await ended, { code: 0, stuck: true })
  // The end of the server follows the signal, and must not tell it again.
  await new Promise(setImmediate)
  assert.equal(world.log.filter(({ level, zombies }) => level === 50 && zombies === 1).length, 1)
})

test('a port that is taken is one clear line and exit code 3', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }))
  assert.deepEqual(await run(['serve', '--port', String(port)], world), { code: 3, stuck: false })
  assert.match(world.err.join(''), new RegExp(`^tenantry: cannot listen on 127\\.0\\.0\\.1:${port}: .*--port\\n$`))
  assert.ok(world.runtimes[0]?.calls.includes('close'))
})

test('an address that this machine does not have is exit code 3 too', async (t) => {
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }))
  assert.equal((await run(['serve', '--host', '203.0.113.9', '--port', '0'], world)).code, 3)
  assert.match(world.err.join(''), /^tenantry: cannot listen on 203\.0\.113\.9:0: .*--host\n$/)
})

test('a broken tenant is a warning, and the others are served', async (t) => {
  const { world } = await serve(t, [], {
    prepare: (fake) => {
      fake.wrong = [{ pattern: 'c.example.test', message: 'no entry' }]
    },
  })
  assert.ok(world.log.some(({ level, label }) => level === 40 && label === 'c.example.test'))
  assert.match(world.err.join(''), /problem {3}c\.example\.test: no entry/)
})

test('SIGHUP reads the tenants of the configuration file again, and says what needs a restart', async (t) => {
  const config = (extra: object): string => JSON.stringify({ tenants: { 'a.example.test': 'a.mjs' }, ...extra })
  const { world, runtime, folder } = await serve(t, ['tenantry.json'], {}, { 'tenantry.json': config({}) })
  const fresh = { tenants: { 'a.example.test': 'a.mjs', 'new.example.test': { entry: 'new.mjs' } }, maxQueue: 5, maxStarting: 1 }
  writeFileSync(join(folder, 'tenantry.json'), config(fresh))
  world.signals.emit('SIGHUP')
  assert.deepEqual((await world.logged('tenants read again'))['added'], ['c.example.test'])
  const given = runtime.refreshed as RuntimeOptions
  assert.deepEqual(given.maxQueue, 5)
  assert.deepEqual(
    given.tenants,
    new Map<string, unknown>([
      ['a.example.test', join(folder, 'a.mjs')],
      ['new.example.test', { entry: join(folder, 'new.mjs') }],
    ]),
  )
  assert.deepEqual((await world.logged('these settings need a restart'))['changed'], ['maxStarting'])
})

test('a mistake in a configuration that is read again changes nothing', async (t) => {
  const { world, runtime, folder } = await serve(t, ['tenantry.json'], {}, { 'tenantry.json': '{"tenants":"t"}' })
  writeFileSync(join(folder, 'tenantry.json'), '{')
  world.signals.emit('SIGHUP')
  assert.equal((await world.logged('reading again failed; nothing was changed'))['code'], 'ERR_CONFIG')
  assert.ok(!runtime.calls.includes('refresh'))
})

test('--watch notices a new tenant', async (t) => {
  const { world, runtime, folder } = await serve(t, ['--watch'])
  const timer = setInterval(() => {
    writeFileSync(join(folder, 'tenants', `new-${Math.random()}`), '')
    world.clock.advance(1000)
  }, 20)
  t.after(() => clearInterval(timer))
  await world.logged('tenants read again')
  assert.ok(runtime.calls.includes('refresh'))
})

test('closing the server from elsewhere ends the command as well', async (t) => {
  const { runtime, ended } = await serve(t)
  await runtime.close()
  assert.deepEqual(await ended, { code: 0, stuck: false })
})
