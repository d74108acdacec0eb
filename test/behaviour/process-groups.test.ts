import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../wire/ends.ts'
import { ask, askJson, Wire } from './client.ts'
import { COUNTING, openHouse } from './house.ts'
import { strangersMayRead } from '../examples/strangers.ts'
import { createRuntime } from '../../src/runtime.ts'
import type { ProcessStats } from '../../src/group/process-group-stats.ts'
import type { Runtime } from '../../src/runtime.ts'

const APP = `
let requests = 0
export default (req, res) => {
  requests++
  if (req.url === '/exit') process.kill(process.pid, 'SIGKILL')
  if (req.url === '/hang') return
  if (req.url === '/half') { res.write('the first half'); return }
  if (req.url === '/slow') { setTimeout(() => res.end('slow but sure'), 400); return }
  res.end(JSON.stringify({
    pid: process.pid, group: process.env.TENANTRY_APPLICATION_GROUP, processGroup: process.env.TENANTRY_PROCESS_GROUP, requests,
    uid: process.getuid(), gid: process.getgid(), umask: process.umask().toString(8),
  }))
}`

/** A tenant that can kill its own daemon, which one in a hardened thread cannot. */
const KILLER = `
import { spawn } from 'node:child_process'
export default (req, res) => { spawn('kill', ['-9', String(process.pid)]) }`

function processes(runtime: Runtime, name = 'pool'): readonly ProcessStats[] {
  return runtime.stats().processGroups.find((group) => group.name === name)?.processes ?? []
}

function pidOf(runtime: Runtime): number {
  return processes(runtime)[0]?.pid as number
}

const POOL = { processGroup: 'pool', processGroups: { pool: {} } }

test('tenants of a process group are served by another process, each in its own context', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP, 'b.test': APP }, POOL)
  const [a, b, again] = [await askJson(port, 'a.test'), await askJson(port, 'b.test'), await askJson(port, 'a.test')]
  assert.notEqual(a['pid'], process.pid)
  assert.equal(a['pid'], b['pid'])
  assert.equal(a['pid'], pidOf(runtime))
  assert.deepEqual([a['requests'], b['requests'], again['requests']], [1, 1, 2])
  assert.deepEqual([a['group'], a['processGroup']], [`a.test:${port}`, 'pool'])
  assert.equal(runtime.stats().contexts.serving, 0, 'nothing of a tenant runs in this process')
  assert.equal(processes(runtime)[0]?.contexts.serving, 2)
})

test('a process group is chosen for each tenant, by the labels of mod_wsgi', async (t) => {
  const { port } = await openHouse(t, {
    'here.test': APP,
    'there.test': { 'index.mjs': APP, 'tenant.json': '{"entry":"index.mjs","processGroup":"%{HOST}"}' },
  }, { processGroups: { 'there.test:4711': {} }, serverName: 'own.test', labelPort: 'host' })
  assert.equal((await askJson(port, 'here.test'))['pid'], process.pid)
  const there = await askJson(port, 'there.test:4711')
  assert.notEqual(there['pid'], process.pid)
  assert.equal(there['processGroup'], 'there.test:4711')
})

test('a name that no process group has is the generic 500, and the log has the reason with the expanded name', async (t) => {
  const { port, log } = await openHouse(t, { 'a.test': APP }, { processGroup: '%{HOST}', processGroups: { other: {} }, labelPort: 'host' })
  const { status, text } = await ask(port, 'a.test')
  assert.equal(status, 500)
  assert.doesNotMatch(text, /a\.test/)
  assert.ok(log.some(({ code, msg }) => code === 'ERR_PROCESS_GROUP_MISSING' && msg.includes("'a.test'")))
})

test('what is in flight when a daemon is killed is 502, what waits is served by the next one', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP, 'killer.test': KILLER }, { ...POOL, lane: 'relay' })
  const { pid } = await askJson(port, 'a.test')
  const hangs = ask(port, 'a.test', '/hang', { method: 'POST', body: 'x' })
  await until(() => processes(runtime)[0]?.inFlight === 1)
  process.kill(pid as number, 'SIGKILL')
  assert.equal((await hangs).status, 502)
  const after = await askJson(port, 'a.test')
  assert.notEqual(after['pid'], pid)
  assert.equal(after['requests'], 1)
})

test('a bodyless idempotent request of which nothing was answered is run again, once', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP, 'killer.test': KILLER }, { ...POOL, lane: 'relay' })
  const { pid } = await askJson(port, 'a.test')
  const slow = ask(port, 'a.test', '/slow')
  await until(() => processes(runtime)[0]?.inFlight === 1)
  process.kill(pid as number, 'SIGKILL')
  assert.deepEqual([(await slow).status, (await slow).text], [200, 'slow but sure'])
  // Its own daemon dies of it each time: the second time the client hears so.
  assert.equal((await ask(port, 'killer.test')).status, 502)
  assert.equal(runtime.stats().ready, true)
})

test('an answer that breaks off with its daemon breaks off for the client', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, POOL)
  await askJson(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await wire.until('the first half')
  process.kill(pidOf(runtime), 'SIGKILL')
  await wire.rest()
  assert.doesNotMatch(wire.text, /\r\n0\r\n/)
})

test('a daemon that serves maxRequests is replaced, and no request is lost', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, { processGroup: 'pool', processGroups: { pool: { maxRequests: 20 } } })
  const pids = new Set<unknown>()
  const end = performance.now() + 10_000
  while (pids.size < 3 && performance.now() < end) {
    const answers = await Promise.all([1, 2, 3].map(async () => await askJson(port, 'a.test')))
    for (const { pid } of answers) pids.add(pid)
  }
  assert.ok(pids.size >= 3)
  await until(() => processes(runtime).length === 1)
})

test('a daemon that nobody asks for ends, and the next request starts another', async (t) => {
  const { port, runtime } = await openHouse(t, { 'a.test': APP }, { processGroup: 'pool', processGroups: { pool: { idleTimeout: 700 } } })
  const { pid } = await askJson(port, 'a.test')
  await until(() => processes(runtime).every(({ state }) => state === 'absent'))
  assert.notEqual((await askJson(port, 'a.test'))['pid'], pid)
})

test('a daemon over its memory limit is replaced', async (t) => {
  const hog = 'const kept = []; export default (req, res) => { if (req.url === "/more") kept.push(Buffer.alloc(2e7, 1)); res.end(String(process.pid)) }'
  const { port } = await openHouse(t, { 'a.test': hog }, { lane: 'relay', processGroup: 'pool', processGroups: { pool: { memoryLimit: '160mb' } } })
  const { text: first } = await ask(port, 'a.test')
  let last = first
  const end = performance.now() + 15_000
  while (last === first && performance.now() < end) last = (await ask(port, 'a.test', '/more')).text
  assert.notEqual(last, first)
})

test('several daemons share the requests: the one with the least to do gets the next', async (t) => {
  const { port } = await openHouse(t, { 'a.test': APP }, { lane: 'relay', processGroup: 'pool', processGroups: { pool: { processes: 2, startAhead: true } } })
  const one = await askJson(port, 'a.test')
  assert.equal((await askJson(port, 'a.test'))['pid'], one['pid'], 'on ties the one used last')
  const slow = ask(port, 'a.test', '/slow')
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.notEqual((await askJson(port, 'a.test'))['pid'], one['pid'])
  await slow
})

test('no daemon starts ahead for an address that cannot be had', async (t) => {
  const { port } = await openHouse(t, {}, {})
  const runtime = createRuntime({ tenants: {}, logger: false, processGroups: { pool: { startAhead: true } } })
  t.after(async () => await runtime.close())
  await assert.rejects(runtime.listen({ port }), { code: 'EADDRINUSE' })
  assert.deepEqual(processes(runtime).map(({ state }) => state), ['absent'])
  await runtime.listen({ port: 0 })
  assert.deepEqual(processes(runtime).map(({ state }) => state), ['starting'])
})

test('%{GLOBAL} is the main thread of its daemon, and reloads with it', async (t) => {
  const main = 'import { isMainThread } from "node:worker_threads"\nexport default (req, res) => res.end(JSON.stringify({ isMainThread, pid: process.pid }))'
  const { port, runtime } = await openHouse(t, { 'a.test': main }, { ...POOL, applicationGroup: '%{GLOBAL}' })
  const before = await askJson(port, 'a.test')
  assert.equal(before['isMainThread'], true)
  assert.equal(await runtime.reload(''), true)
  const after = await askJson(port, 'a.test')
  assert.equal(after['isMainThread'], true)
  assert.notEqual(after['pid'], before['pid'])
})

test('a WebSocket upgrade reaches a daemon', async (t) => {
  const upgrade = `
    import http from 'node:http'
    const server = http.createServer().listen(3000)
    server.on('upgrade', (req, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); socket.pipe(socket) })`
  const { port } = await openHouse(t, { 'a.test': upgrade }, POOL)
  const wire = await Wire.open(t, port)
  wire.send('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  await wire.until('\r\n\r\n')
  wire.send('there and back')
  await wire.until('there and back')
})

test('close() ends the daemons in bounded time, also one that spins', async (t) => {
  const spins = 'export default (req, res) => { if (req.url === "/spin") for (;;); res.end(String(process.pid)) }'
  const { port, runtime } = await openHouse(t, { 'a.test': spins }, { ...POOL, applicationGroup: '%{GLOBAL}', terminateTimeout: 500 })
  const pid = Number((await ask(port, 'a.test')).text)
  ask(port, 'a.test', '/spin').catch(() => {})
  await until(() => processes(runtime)[0]?.inFlight === 1)
  await runtime.close({ timeout: 200 })
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

const isRoot = process.getuid?.() === 0

test('a daemon runs as another user, with a umask of its own, and no group but that user\'s', { skip: isRoot ? !strangersMayRead() && 'this folder is readable by root alone' : 'only root can do it' }, async (t) => {
  const { chmod } = await import('node:fs/promises')
  const house = await openHouse(t, { 'a.test': APP }, { processGroup: 'pool', processGroups: { pool: { user: 'nobody', umask: '027' } } })
  await chmod(house.folder, 0o755)
  const seen = await askJson(house.port, 'a.test')
  assert.notEqual(seen['uid'], 0)
  assert.equal(seen['umask'], '27')
})

test('an unknown user, a wrong unit and an unknown option are errors that say what to write', async (t) => {
  const wrong = [
    [{ user: 'no-such-user' }, /processGroups\['?"?pool'?"?\]\.user: there is no user 'no-such-user'/],
    [{ memoryLimit: '10M!' }, /memoryLimit is '10M!'; write/],
    [{ procesess: 2 }, /unknown option 'procesess'.*processes/],
    [{ processes: 0 }, /processes is 0/],
  ] as const
  for (const [pool, message] of wrong) {
    await assert.rejects(openHouse(t, { 'a.test': COUNTING }, { processGroups: { pool } as never }), message)
  }
})

test('the ceiling of memory counts the daemons: past it their idle groups end, and nothing is born in them', async (t) => {
  const hog = 'const kept = []; export default (req, res) => { if (req.url === "/more") kept.push(Buffer.alloc(2e8, 1)); res.end("ok") }'
  const ceiling = process.memoryUsage.rss() + 250e6
  const { port, runtime } = await openHouse(t, { 'a.test': hog, 'b.test': hog }, { ...POOL, maxMemory: ceiling, memoryLimit: '1gb' })
  assert.equal((await ask(port, 'a.test', '/more')).status, 200)
  await until(() => processes(runtime)[0]?.ends.pressure === 1)
  assert.equal((await ask(port, 'b.test')).status, 503)
})
