import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { until } from '../wire/ends.ts'
import { openDaemon, startIn } from './in-daemon.ts'
import { appFile, ask, askJson, record } from './start.ts'

const HELLO = 'export default (req, res) => res.end(`hello from ${process.pid}`)'

test('a context of a daemon runs in another process and serves over a relay of its own', async (t) => {
  const daemon = openDaemon(t)
  const context = startIn(t, daemon, HELLO)
  await context.ready
  assert.equal((await ask(context, '/')).body, `hello from ${daemon.pid}`)
  assert.notEqual(daemon.pid, process.pid)
  assert.equal(daemon.state, 'serving')
})

test('a daemon has the environment it was given and nothing of the front', async (t) => {
  process.env['TENANTRY_TEST_SECRET'] = 'of the front'
  t.after(() => delete process.env['TENANTRY_TEST_SECRET'])
  const daemon = openDaemon(t, { env: { OF_THE_DAEMON: '1' } })
  const main = startIn(t, daemon, 'export default (req, res) => res.end(JSON.stringify(process.env))', { label: '', env: { OWN: '2' } })
  await main.ready
  assert.deepEqual(await askJson(main), { OWN: '2', TENANTRY_APPLICATION_GROUP: '', TENANTRY_PROCESS_GROUP: 'tests' })
  const environ = readFileSync(`/proc/${daemon.pid}/environ`, 'utf8')
  assert.equal(environ, 'OF_THE_DAEMON=1\0')
})

test('large bodies go both ways, byte for byte', async (t) => {
  const context = startIn(t, openDaemon(t), `
    import { createHash } from 'node:crypto'
    export default async (req, res) => {
      const hash = createHash('sha256')
      for await (const chunk of req) hash.update(chunk)
      res.write(hash.digest('hex'))
      res.end(Buffer.alloc(3_000_000, 'é\\u2028x'))
    }`)
  await context.ready
  const { createHash } = await import('node:crypto')
  const body = 'ü€\u{1F600}"\\'.repeat(40_000)
  const answer = await ask(context, '/', body)
  assert.equal(answer.body.slice(0, 64), createHash('sha256').update(body).digest('hex'))
  assert.equal(answer.body.slice(64), Buffer.alloc(3_000_000, 'é\u2028x').toString())
})

test('what a context writes, exits with or dies of is told as of a thread of our own', async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const daemon = openDaemon(t)
  const talks = startIn(t, daemon, 'console.log("one"); console.error("two"); export default (req, res) => { res.end("bye"); setImmediate(() => process.exit(7)) }')
  await talks.ready
  assert.equal((await ask(talks, '/')).body, 'bye')
  const end = await talks.ended
  assert.deepEqual([end.reason, end.exitCode], ['exit', 7])
  const own = lines.filter(({ contextId }) => contextId === talks.id).map(({ stream, line }) => `${stream}: ${line}`)
  assert.deepEqual(own.toSorted(), ['stderr: two', 'stdout: one'])

  const throws = startIn(t, daemon, 'throw new TypeError("no such luck")')
  await assert.rejects(throws.ready, { code: 'ERR_START_FAILED', message: /no such luck/ })
  assert.equal((await throws.ended).reason, 'startup')

  const crashes = startIn(t, daemon, 'export default () => { throw new RangeError("in the handler") }')
  await crashes.ready
  assert.equal((await ask(crashes, '/')).outcome, 'ERR_CONTEXT_EXITED')
  const { reason, error } = await crashes.ended
  assert.equal(reason, 'crash')
  assert.match(error?.message ?? '', /in the handler/)
  assert.equal(daemon.state, 'serving')
})

test('a thread that spins is ended, and its neighbour in the same daemon does not hear of it', async (t) => {
  const daemon = openDaemon(t)
  const spins = startIn(t, daemon, 'export default () => { for (;;); }')
  const neighbour = startIn(t, daemon, HELLO)
  await Promise.all([spins.ready, neighbour.ready])
  const answer = ask(spins, '/')
  assert.equal((await spins.terminate('deadlock')).zombie, false)
  assert.equal((await answer).outcome, 'ERR_CONTEXT_EXITED')
  assert.match((await ask(neighbour, '/')).body, /^hello/)
})

test('the scoreboard of a context in a daemon is that of the daemon, half a second late', async (t) => {
  const context = startIn(t, openDaemon(t), HELLO)
  await context.ready
  await ask(context, '/')
  await until(() => context.scoreboard.read('served') === 1)
  assert.ok(context.scoreboard.read('heapUsed') > 1_000_000)
  const heartbeat = context.scoreboard.read('heartbeat')
  await until(() => context.scoreboard.read('heartbeat') > heartbeat)
  await until(() => context.cpuTime() > 0)
})

test('when a daemon is killed, each of its contexts ends and says that its daemon did', async (t) => {
  const daemon = openDaemon(t)
  const hangs = startIn(t, daemon, 'export default () => {}')
  const idle = startIn(t, daemon, HELLO)
  await Promise.all([hangs.ready, idle.ready])
  const answer = ask(hangs, '/')
  process.kill(daemon.pid as number, 'SIGKILL')
  const ends = await Promise.all([hangs.ended, idle.ended])
  assert.deepEqual(ends.map(({ error }) => error?.code), ['ERR_DAEMON_EXITED', 'ERR_DAEMON_EXITED'])
  assert.equal((await answer).outcome, 'ERR_DAEMON_EXITED')
  assert.deepEqual(await daemon.ended, { reason: 'crash', exitCode: null, signal: 'SIGKILL' })
  assert.throws(() => startIn(t, daemon, HELLO), { code: 'ERR_CONTEXT_EXITED' })
})

test('%{GLOBAL} runs on the main thread, where it is the process itself', async (t) => {
  const daemon = openDaemon(t)
  const main = startIn(t, daemon, `
    import { isMainThread } from 'node:worker_threads'
    export default (req, res) => res.end(JSON.stringify([isMainThread, process.cwd()]))`, { label: '' })
  await main.ready
  const [onMain, cwd] = await askJson(main) as [boolean, string]
  assert.equal(onMain, true)
  assert.equal(cwd, main.spec.directory)
  const second = startIn(t, daemon, HELLO, { label: '' })
  await assert.rejects(second.ready, /main thread of this daemon runs/)
})

test('a main thread that spins cannot say a word, and its daemon is killed for it', async (t) => {
  const daemon = openDaemon(t, {}, { deadlockTimeout: 1500 })
  const main = startIn(t, daemon, 'export default () => { for (;;); }', { label: '' })
  await main.ready
  const answer = ask(main, '/')
  assert.equal((await daemon.ended).reason, 'deadlock')
  assert.equal((await answer).outcome, 'ERR_DAEMON_EXITED')
})

test('a daemon that does not end when it is told to is killed', async (t) => {
  const daemon = openDaemon(t, {}, { terminateTimeout: 300 })
  const main = startIn(t, daemon, 'export default () => { for (;;); }', { label: '' })
  await main.ready
  ask(main, '/').catch(() => {})
  await new Promise((resolve) => setTimeout(resolve, 50))
  daemon.end('shutdown')
  assert.equal((await daemon.ended).signal, 'SIGKILL')
})

test('a daemon that its main thread ends says how, and never that somebody told it to', async (t) => {
  for (const [source, expected] of [
    ['export default () => process.exit(3)', ['exit', 3, null]],
    ['export default () => process.kill(process.pid, "SIGKILL")', ['crash', null, 'SIGKILL']],
    ['export default () => { throw new Error("thrown") }', ['exit', 1, null]],
  ] as const) {
    const daemon = openDaemon(t)
    const main = startIn(t, daemon, source, { label: '' })
    await main.ready
    assert.equal((await ask(main, '/')).outcome, 'ERR_DAEMON_EXITED')
    const { reason, exitCode, signal } = await daemon.ended
    assert.deepEqual([reason, exitCode, signal], expected)
  }
})

test('an application that ends its daemon while it loads does not become ready', async (t) => {
  const daemon = openDaemon(t)
  const main = startIn(t, daemon, 'process.exit(4)', { label: '' })
  await assert.rejects(main.ready, { code: 'ERR_DAEMON_EXITED', message: /exited with code 4/ })
  const throws = startIn(t, openDaemon(t), 'throw new TypeError("no such luck")', { label: '' })
  await assert.rejects(throws.ready, { code: 'ERR_START_FAILED', message: /no such luck/ })
})

test('what a daemon uses is what the system counts', { skip: process.platform !== 'linux' }, async (t) => {
  const daemon = openDaemon(t)
  await daemon.ready
  await until(() => daemon.resident > 20_000_000 && daemon.cpu > 0)
  assert.ok(daemon.resident < 500_000_000)
  assert.ok(daemon.cpu < 60_000)
})

test('a daemon ends with its front, however the front dies and whatever the daemon does', async (t) => {
  const app = appFile(t, 'export default () => { for (;;); }')
  const built = (file: string): string => JSON.stringify(new URL(`../../src/${file}`, pathToFileURL(import.meta.filename)).href)
  const front = spawn(process.execPath, ['--input-type=module', '-e', `
    import { systemClock } from ${built('clock.js')}
    import { Daemon } from ${built('context/daemon.js')}
    import { Door } from ${built('context/door.js')}
    import { LiveContext } from ${built('context/live-context.js')}
    const daemon = new Daemon({
      processGroup: 'x', command: { env: {}, execArgv: [] }, clock: systemClock, door: new Door(systemClock), nice: 0,
      startupTimeout: 10000, deadlockTimeout: 0, terminateTimeout: 2000,
    })
    const limits = { startupTimeout: 10000, terminateTimeout: 2000 }
    const spec = { label: '', processGroup: 'x', mounts: [{ path: '', entry: ${JSON.stringify(app)} }], kind: 'auto', env: {}, preload: [], directory: '/', limits }
    const context = new LiveContext(spec, systemClock, (listener) => daemon.open(spec, listener))
    setInterval(() => {}, 1000)
    await context.ready
    const head = { connection: 1, method: 'GET', url: '/', rawHeaders: ['Host', 'x'], flags: 3, mount: 0, end: true }
    head.connection = context.channel.connect({ keepAliveTimeout: 0 }, () => {})
    context.channel.open(head, {})
    setTimeout(() => console.log(daemon.pid), 200)
  `], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => front.kill('SIGKILL'))
  const [said] = await once(front.stdout, 'data') as [Buffer]
  const pid = Number(String(said))
  assert.ok(pid > 0)
  front.kill('SIGKILL')
  const lives = (): boolean => existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  await until(() => { try { return !lives() } catch { return true } })
})
