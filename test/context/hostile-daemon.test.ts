import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { MAX_MESSAGE } from '../../src/wire/codec.ts'
import { Control } from '../../src/wire/control.ts'
import { until } from '../wire/ends.ts'
import { openDaemon, startIn } from './in-daemon.ts'
import { appFile, ask, folder, record } from './start.ts'
import type { TestContext } from 'node:test'
import type { Daemon, DaemonSettings } from '../../src/context/daemon.ts'

const HELLO = 'export default (req, res) => res.end(`hello from ${process.pid}`)'

/** The prelude of a hostile daemon: writes to its control socket what it likes. */
const PRELUDE = `
import fs from 'node:fs'
const write = (bytes) => {
  for (let at = 0; at < bytes.length;) {
    try { at += fs.writeSync(3, bytes, at) } catch (error) { if (error.code !== 'EAGAIN') throw error }
  }
}
const raw = (text, pieces = 0) => {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(Buffer.byteLength(text), 0)
  head.writeUInt32LE(pieces, 4)
  return Buffer.concat([head, Buffer.from(text)])
}
const say = (...message) => write(raw(JSON.stringify([[], message])))
`

/** A daemon that runs `source` before our own code. */
function openHostile(t: TestContext, source: string, settings: Partial<DaemonSettings> = {}): Daemon {
  const file = path.join(folder(t), 'hostile.mjs')
  writeFileSync(file, PRELUDE + source)
  return openDaemon(t, { execArgv: [`--import=${file}`] }, settings)
}

for (const [what, source] of [
  ['garbage', 'write(Buffer.alloc(64, 255))'],
  ['text that is no JSON', 'write(raw("{"))'],
  ['a length above every limit', `const head = Buffer.alloc(8); head.writeUInt32LE(${MAX_MESSAGE}, 0); head.writeUInt32LE(1, 4); write(head)`],
  ['no message at all', 'write(raw("[[],[]]"))'],
  ['a kind that is none', 'say(99)'],
  ["the front's own words", `say(${Control.START}, 1, {}, {})`],
  ['a kind that names a property', 'say("constructor")'],
  ['another version', `say(${Control.HELLO}, 2)`],
  ['a heartbeat below nothing', `say(${Control.BEAT}, -1, 0, [])`],
  ['a heartbeat beyond all numbers', `write(raw('[[],[${Control.BEAT},1e999,0,[]]]'))`],
  ['a heartbeat that is no number', `say(${Control.BEAT}, null, '1', [])`],
  ['boards that are no list', `say(${Control.BEAT}, 1, 1, { every: 1 })`],
  ['a board that is none', `say(${Control.BEAT}, 1, 1, [7])`],
  ['a line on another stream', `say(${Control.LINE}, 1, 'stdin', 'x')`],
  ['a line without an end', `say(${Control.LINE}, 1, 'stdout', 'x'.repeat(8193))`],
  ['a count of connections that is none', `say(${Control.TAKEN}, 1, '1')`],
  ['a count of connections below nothing', `say(${Control.TAKEN}, 1, -1)`],
  ['an exit code that is none', `say(${Control.EXITED}, 1, 'zero')`],
] as const) {
  test(`a daemon that writes ${what} is killed for it, and its front goes on`, async (t) => {
    const daemon = openHostile(t, `${source}; setInterval(() => {}, 1000)`)
    const ready = daemon.ready.then(() => 'ready', () => 'gone')
    const { reason, signal } = await daemon.ended
    assert.deepEqual([reason, signal], ['protocol', 'SIGKILL'])
    assert.match(await ready, /ready|gone/)
  })
}

test('what a daemon says of contexts that are not its own is nothing to them', async (t) => {
  const lines = record(t, 'tenantry:context:output')
  const honest = startIn(t, openDaemon(t), HELLO)
  await honest.ready
  const liar = openHostile(t, `
    for (let id = 0; id < 2000; id++) {
      say(${Control.LINE}, id, 'stdout', 'forged')
      say(${Control.BEAT}, 1, 1, [[id, 1e15, [0, 0, 0, 0, 0, 0, 1e15, 1e15, 1e15, 0]]])
      say(${Control.EXITED}, id, 1, { name: 'Error', message: 'forged', code: 'ERR_WORKER_OUT_OF_MEMORY' })
    }
    for (const id of ['__proto__', null, -1, 1e300, [], {}]) say(${Control.EXITED}, id, null)`)
  await liar.ready
  assert.match((await ask(honest, '/')).body, /^hello/)
  assert.equal(honest.state, 'serving')
  assert.ok(honest.scoreboard.read('heapUsed') < 1e12)
  assert.deepEqual(lines.filter(({ line }) => line === 'forged'), [])
  // Whoever comes into it afterwards is served as ever.
  const late = startIn(t, liar, HELLO)
  await late.ready
  assert.match((await ask(late, '/')).body, /^hello/)
})

test('a daemon that says its contexts are gone while they live does not leave their requests open', async (t) => {
  const app = `
    import fs from 'node:fs'
    ${PRELUDE.replace("import fs from 'node:fs'", '')}
    export default (req, res) => { if (req.url === '/lie') for (let id = 0; id < 2000; id++) say(${Control.EXITED}, id, 0) }`
  const context = startIn(t, openDaemon(t), app, { label: '' })
  await context.ready
  const open = ask(context, '/open')
  ask(context, '/lie').catch(() => {})
  assert.equal((await open).outcome, 'ERR_CONTEXT_EXITED')
  assert.equal((await context.ended).reason, 'exit')
})

test('a flood of output costs the front so much in a second, and its writer the rest', async (t) => {
  const lines = record(t, 'tenantry:daemon:output')
  openHostile(t, 'const flood = Buffer.alloc(65536, "x".repeat(1023) + "\\n"); for (;;) { try { fs.writeSync(1, flood) } catch (error) { if (error.code !== "EAGAIN") throw error } }', { startupTimeout: 60_000 })
  await until(() => lines.length > 0)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const bytes = lines.reduce((sum, { line }) => sum + line.length, 0)
  assert.ok(bytes > 200_000 && bytes < 3e6, `${bytes} bytes in a second and a half`)
})

test('a flood of empty lines is dropped where it is more than anybody reads', async (t) => {
  const lines = record(t, 'tenantry:daemon:output')
  const warnings = record(t, 'tenantry:warning')
  openHostile(t, 'const flood = Buffer.alloc(65536, "\\n"); for (;;) { try { fs.writeSync(1, flood) } catch (error) { if (error.code !== "EAGAIN") throw error } }', { startupTimeout: 60_000 })
  await until(() => warnings.some(({ message }) => /wrote too fast: \d+ lines were dropped/.test(message)))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  assert.ok(lines.length >= 5000 && lines.length < 50_000, `${lines.length} lines`)
})

test('a flood on the control socket costs the front so much in a second, and its writer the rest', async (t) => {
  const seen = record(t, 'tenantry:context:output')
  const app = `${PRELUDE}
    export default (req, res) => { for (let id = 0; ; id++) say(${Control.LINE}, id % 100, 'stdout', 'x'.repeat(1000)) }`
  const context = startIn(t, openDaemon(t), app, { label: '' })
  await context.ready
  ask(context, '/').catch(() => {})
  await new Promise((resolve) => setTimeout(resolve, 1500))
  // One in 100 names its own context.
  assert.ok(seen.length > 0 && seen.length < 60, `${seen.length * 100} lines in a second and a half`)
})

test('a daemon whose control socket was closed is killed, whatever it does', async (t) => {
  const app = 'import fs from "node:fs"\nexport default () => { fs.closeSync(3); for (;;); }'
  const daemon = openDaemon(t)
  const context = startIn(t, daemon, app, { label: '' })
  await context.ready
  assert.equal((await ask(context, '/')).outcome, 'ERR_DAEMON_EXITED')
  assert.equal((await daemon.ended).reason, 'protocol')
})

test('a context whose relay was closed ends, and its neighbour goes on', async (t) => {
  const daemon = openDaemon(t)
  // The newest socket of the process is its relay.
  const closes = startIn(t, daemon, `
    import fs from 'node:fs'
    const sockets = () => fs.readdirSync('/proc/self/fd').filter((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:') } catch { return false } })
    export default () => { fs.closeSync(Math.max(...sockets().map(Number))) ; setInterval(() => {}, 1000) }`)
  await closes.ready
  const answer = ask(closes, '/')
  assert.equal((await answer).outcome, 'ERR_CONTEXT_EXITED')
  await closes.ended
  const neighbour = startIn(t, daemon, HELLO)
  await neighbour.ready
  assert.match((await ask(neighbour, '/')).body, /^hello/)
})

test('at the limit of descriptors no daemon starts, and its front says so and lives', async (t) => {
  const script = `
    import fs from 'node:fs'
    import { createRuntime } from ${JSON.stringify(new URL('../../src/index.js', pathToFileURL(import.meta.filename)).href)}
    const runtime = createRuntime({ tenants: { 'a.test': ${JSON.stringify(appFile(t, HELLO))} }, processGroup: 'x', processGroups: { x: {} }, logger: false })
    const fds = []
    try { for (;;) fds.push(fs.openSync('/dev/null')) } catch {}
    const full = await runtime.fetch(new Request('http://a.test/'))
    for (const fd of fds) fs.closeSync(fd)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    const free = await runtime.fetch(new Request('http://a.test/'))
    console.log(full.status, free.status)
    await runtime.close()`
  const { stdout, stderr } = spawnSync('sh', ['-c', 'ulimit -n 128; exec "$0" --input-type=module -e "$1"', process.execPath, script], { encoding: 'utf8', timeout: 20_000 })
  assert.equal(stdout, '500 200\n', stderr)
})

test('a daemon that hands its sockets to another process and dies takes nobody into silence', { skip: process.platform === 'win32' }, async (t) => {
  const app = `
    import { spawn } from 'node:child_process'
    import fs from 'node:fs'
    export default (req, res) => {
      const open = fs.readdirSync('/dev/fd').map(Number)
      const stdio = Array.from({ length: Math.max(...open) + 1 }, (_, fd) => (fd > 0 && open.includes(fd) ? fd : 'ignore'))
      const heir = spawn('sleep', ['20'], { stdio: stdio.map((fd) => { try { fs.fstatSync(fd); return fd } catch { return 'ignore' } }), detached: true })
      heir.once('spawn', () => process.kill(process.pid, 'SIGKILL'))
    }`
  const daemon = openDaemon(t)
  const victim = startIn(t, daemon, 'export default () => {}')
  const heir = startIn(t, daemon, app, { label: '' })
  await Promise.all([victim.ready, heir.ready])
  const waits = ask(victim, '/')
  const begun = performance.now()
  ask(heir, '/').catch(() => {})
  assert.equal((await waits).outcome, 'ERR_DAEMON_EXITED')
  assert.ok(performance.now() - begun < 10_000)
  assert.equal((await victim.ended).error?.code, 'ERR_DAEMON_EXITED')
})
