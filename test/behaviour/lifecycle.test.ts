import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'
import { createRuntime } from '../../src/runtime.ts'
import { watched } from '../../src/events.ts'
import { ask, askJson, eventually, Wire } from './client.ts'
import { COUNTING, openHouse, openRuntime, tenantFolder } from './house.ts'

const SLOW = `
export default (req, res) => {
  if (req.url === '/slow') { res.write('begun '); setTimeout(() => res.end('finished'), 300) }
  else if (req.url === '/never') res.write('begun')
  else if (req.url === '/spin') while (true) {}
  else res.end('fine')
}
`

test('nothing starts before the first request, and a runtime that was never used closes at once', async (t) => {
  const { runtime } = await openRuntime(t, { 'a.test': COUNTING })
  assert.equal(runtime.state, 'created')
  assert.equal(runtime.stats().births, 0)
  assert.deepEqual(await runtime.close(), { ended: 0, terminated: 0, zombies: 0 })
  assert.equal(runtime.state, 'closed')
  await assert.rejects(runtime.start(), { code: 'ERR_STATE' })
  await assert.rejects(runtime.listen(), { code: 'ERR_STATE' })
})

test('stats() is a copy that counts groups, contexts, requests and refusals', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW, 'b.test': COUNTING }, { lane: 'relay', maxInFlight: 1, maxQueue: 0, spares: 0 })
  await ask(port, 'b.test')
  await ask(port, 'b.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('begun')
  assert.equal((await ask(port, 'a.test')).status, 503)
  const stats = runtime.stats()
  const { list, ...counts } = stats
  assert.deepEqual(counts, {
    state: 'serving', lanes: { handoff: 0, relay: { option: 4 }, obstacle: "lane is 'relay'" },
    draining: false, pending: 0, inFlight: 1, queued: 0, births: 2, warmed: 0, spares: 0, fromSpares: 0, zombies: 0, zombieContexts: [], evictions: {}, ends: {},
    ready: true, reasons: [], processGroups: [],
    groups: { starting: 0, serving: 2, failed: 0, draining: 0, closed: 0 },
    contexts: { starting: 0, serving: 2, draining: 0, exited: 0, zombie: 0 },
    refusals: { ERR_QUEUE_FULL: 1 },
  })
  const b = list.find(({ label }) => label === `b.test:${port}`)
  assert.ok(b !== undefined && b.memory > 1_000_000, 'memory is known')
  assert.deepEqual([b.pattern, b.state, b.served, b.inFlight, b.failures], ['b.test', 'serving', 2, 0, 0])
  await ask(port, 'b.test')
  assert.equal(b.served, 2, 'what was handed out does not change')
})

test('close() finishes what is in flight, is the same promise for everybody, and leaves nothing', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW })
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('begun')
  const [one, two] = await Promise.all([runtime.close({ timeout: 5000 }), runtime.close()])
  assert.deepEqual([one, two], [{ ended: 1, terminated: 0, zombies: 0 }, one])
  assert.match(await wire.rest(), /finished\r\n0\r\n\r\n$/)
  assert.deepEqual(await runtime.close(), one)
  await runtime.destroy()
  assert.equal(runtime.state, 'closed')
})

test('close() is bounded by its timeout: what spins or never answers is ended and counted', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW, 'b.test': SLOW })
  const spinning = ask(port, 'a.test', '/spin').catch((error: unknown) => error)
  const wire = await Wire.open(t, port)
  wire.send('GET /never HTTP/1.1\r\nHost: b.test\r\n\r\n')
  await wire.until('begun')
  const started = performance.now()
  const report = await runtime.close({ timeout: 100 })
  assert.ok(performance.now() - started < 3000)
  assert.deepEqual(report, { ended: 2, terminated: 2, zombies: 0 })
  assert.doesNotMatch(await wire.rest(), /\r\n0\r\n/)
  await spinning
})

test('a client that holds an idle or a half-sent connection does not hold close()', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW })
  const idle = await Wire.open(t, port)
  const half = await Wire.open(t, port)
  half.send('GET / HTTP/1.1\r\nHo')
  const kept = await Wire.open(t, port)
  kept.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await kept.until('fine')
  const started = performance.now()
  await runtime.close({ timeout: 300 })
  assert.ok(performance.now() - started < 2000)
  await Promise.all([idle.rest(), half.rest(), kept.rest()])
})

test('destroy() ends everything at once, also in the middle of a close()', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW }, { drainTimeout: 60_000 })
  const wire = await Wire.open(t, port)
  wire.send('GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('begun')
  const closing = runtime.close()
  const started = performance.now()
  await runtime.destroy()
  assert.ok(performance.now() - started < 3000)
  assert.equal((await closing).terminated, 1)
  assert.doesNotMatch(await wire.rest(), /\r\n0\r\n/)
})

test('an AbortSignal closes the runtime, also one that was aborted before', async (t) => {
  const abort = new AbortController()
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW }, { signal: abort.signal })
  assert.equal((await ask(port, 'a.test')).status, 200)
  abort.abort()
  await eventually('it closed', () => runtime.state === 'closed')
  await assert.rejects(ask(port, 'a.test'), /ECONNREFUSED/)
  const late = await openRuntime(t, { 'a.test': SLOW }, { signal: AbortSignal.abort() })
  await eventually('it closed', () => late.runtime.state === 'closed')
})

test('Symbol.asyncDispose closes', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': SLOW })
  await ask(port, 'a.test')
  await runtime[Symbol.asyncDispose]()
  assert.equal(runtime.state, 'closed')
})

test('an idle runtime does not keep its process alive, and nothing runs after an import', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  const index = pathToFileURL('build/src/index.js').href
  const program = `
    import http from 'node:http'
    import { createRuntime } from ${JSON.stringify(index)}
    const runtime = createRuntime({ tenants: ${JSON.stringify(folder)}, logger: false })
    const server = http.createServer(runtime.handler).listen(0, '127.0.0.1', () => {
      http.get({ port: server.address().port, headers: { host: 'a.test' }, agent: false }, (res) => {
        res.resume().on('end', () => server.close(() => console.log(runtime.stats().births)))
      })
    })
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  assert.deepEqual(await once(child, 'exit'), [0, null])
  clearTimeout(late)
  assert.equal(out, '1\n')
})

test('a wrong option names itself, its value and what is accepted, and starts nothing', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  for (const [options, message] of [
    [{ maxContxts: 3 }, /'maxContxts' is not an option.*maxContexts/],
    [{ maxContexts: 0 }, /maxContexts is 0; write/],
    [{ handlerTimeout: 'soon' }, /handlerTimeout is 'soon'; write/],
    [{ memoryLimit: '1' }, /memoryLimit is '1'; write/],
    [{ applicationGroup: '%{HOTS}' }, /%\{HOTS\}/],
    [{ allowedHosts: ['a/b'] }, /a\/b/],
    [{ trustProxy: '999.1.1.1' }, /trustProxy.*999\.1\.1\.1/],
    [{ serverName: 'a b' }, /serverName is 'a b'; write/],
    [{ logger: 'loud' }, /logger is 'loud'; write/],
    [{ signal: {} }, /signal is .*; write an AbortSignal/],
  ] as const) {
    assert.throws(() => createRuntime({ tenants: folder, logger: false, ...(options as object) }), { code: 'ERR_OPTION_INVALID', message }, JSON.stringify(options))
  }
  assert.throws(() => createRuntime({ tenants: `${folder}/none` }), { code: 'ERR_CONFIG', message: /none/ })
  assert.equal(watched('tenantry:evict'), false, 'nobody logs for a runtime that does not exist')
})

test('a function of tenants is asked once for each host, and needs allowedHosts', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  assert.throws(() => createRuntime({ tenants: () => undefined }), { code: 'ERR_OPTION_INVALID', message: /allowedHosts is missing/ })
  const asked: string[] = []
  const runtime = createRuntime({
    logger: false,
    allowedHosts: ['*.sites.test'],
    tenants: async (host) => {
      asked.push(host)
      if (host === 'fails.sites.test') throw new Error('no database')
      return await Promise.resolve(host === 'none.sites.test' ? undefined : { entry: `${folder}/a.test/index.mjs` })
    },
  })
  t.after(() => runtime.destroy())
  const server = await runtime.listen()
  const { port } = server.address() as { port: number }
  await Promise.all([1, 2, 3, 4].map(() => askJson(port, 'one.sites.test')))
  assert.equal((await ask(port, 'none.sites.test')).status, 404)
  assert.equal((await ask(port, 'none.sites.test')).status, 404)
  assert.equal((await ask(port, 'fails.sites.test')).status, 500)
  assert.equal((await ask(port, 'elsewhere.test')).status, 421)
  assert.deepEqual(asked, ['one.sites.test', 'none.sites.test', 'fails.sites.test'])
})

test('a start that nobody needs any more is no fault of the application: its end is not logged as an error', async (t) => {
  const { port, runtime, log } = await openHouse(t, { 'a.test': 'setInterval(() => {}, 1000); await new Promise(() => {})' })
  const asked = ask(port, 'a.test')
  await eventually('it starts', () => runtime.stats().contexts.starting === 1)
  await runtime.close()
  assert.equal((await asked).status, 503)
  assert.deepEqual(log.filter(({ msg }) => msg.startsWith('context ended')).map(({ level, msg }) => [level, msg]), [[30, 'context ended']])
})
