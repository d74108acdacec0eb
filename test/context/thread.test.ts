import { test } from 'node:test'
import assert from 'node:assert/strict'
import { systemClock } from '../../src/clock.ts'
import { startThread } from '../../src/context/thread.ts'
import { TenantryError } from '../../src/errors.ts'
import { until } from '../wire/ends.ts'
import { appFile, ask, askJson, record, specOf, startEntry, startSource } from './start.ts'
import type { ContextEnd } from '../../src/context/context.ts'

const HELLO = 'export default (req, res) => res.end("hello")'

/** The code, so that a failing comparison shows it. */
function ended(end: ContextEnd): unknown {
  return { reason: end.reason, exitCode: end.exitCode, code: end.error?.code, zombie: end.zombie }
}

async function refusal(promise: Promise<void>): Promise<TenantryError> {
  const error = await promise.then(() => undefined, (thrown: unknown) => thrown)
  assert.ok(error instanceof TenantryError, `rejects with a TenantryError, not ${String(error)}`)
  return error
}

test('a context goes from starting to serving, answers, drains and ends, with one event for each step', async (t) => {
  const starts = record(t, 'tenantry:context:start')
  const readies = record(t, 'tenantry:context:ready')
  const exits = record(t, 'tenantry:context:exit')
  const context = startSource(t, HELLO)
  assert.equal(context.state, 'starting')
  assert.throws(() => context.channel, { code: 'ERR_STATE' })
  await context.ready
  assert.equal(context.state, 'serving')
  assert.equal((await ask(context, '/')).body, 'hello')
  context.drain()
  assert.equal(context.state, 'draining')
  assert.deepEqual(ended(await context.ended), { reason: 'exit', exitCode: 0, code: 'ERR_CONTEXT_EXITED', zombie: false })
  assert.equal(context.state, 'exited')
  for (const seen of [starts, readies, exits]) {
    assert.equal(seen.filter(({ contextId }) => contextId === context.id).length, 1)
  }
})

// How a tenant ends by itself. Tinypool hears 'error' but not 'exit'.

test('process.exit() while an application loads is a failed start', async (t) => {
  const context = startSource(t, 'process.exit(3)')
  const error = await refusal(context.ready)
  assert.equal(error.code, 'ERR_START_FAILED')
  assert.match(error.message, /code 3/)
  assert.deepEqual(ended(await context.ended), { reason: 'startup', exitCode: 3, code: 'ERR_START_FAILED', zombie: false })
})

test('process.exit() in a handler fails every request in flight and ends only the context', async (t) => {
  const context = startSource(t, 'export default (req, res) => { if (req.url === "/exit") process.exit(4) }')
  await context.ready
  const answers = await Promise.all([ask(context, '/'), ask(context, '/'), ask(context, '/exit')])
  assert.deepEqual(answers.map(({ outcome }) => outcome), ['ERR_CONTEXT_EXITED', 'ERR_CONTEXT_EXITED', 'ERR_CONTEXT_EXITED'])
  assert.deepEqual(ended(await context.ended), { reason: 'exit', exitCode: 4, code: 'ERR_CONTEXT_EXITED', zombie: false })
  assert.equal(context.inFlight, 0)
})

test('an answer that was written before process.exit() still reaches its client', async (t) => {
  const context = startSource(t, 'export default (req, res) => { res.end("last words"); process.exit(0) }')
  await context.ready
  const { body, outcome } = await ask(context, '/')
  assert.deepEqual({ body, outcome }, { body: 'last words', outcome: 'end' })
  await context.ended
})

test('process.exit() at idle is noticed', async (t) => {
  const context = startSource(t, `${HELLO}\nsetTimeout(() => process.exit(5), 50)`)
  await context.ready
  assert.deepEqual(ended(await context.ended), { reason: 'exit', exitCode: 5, code: 'ERR_CONTEXT_EXITED', zombie: false })
})

test("process.exitCode is what a context that ends by itself ends with, and not the host's", async (t) => {
  const before = process.exitCode
  const context = startSource(t, `process.exitCode = 6\n${HELLO}`)
  await context.ready
  context.drain()
  assert.equal((await context.ended).exitCode, 6)
  assert.equal(process.exitCode, before)
})

test('a crash at idle ends the context with its error, is no crash of the host, and starts no other thread', async (t) => {
  const exits = record(t, 'tenantry:context:exit')
  const starts = record(t, 'tenantry:context:start')
  const context = startSource(t, `${HELLO}\nsetTimeout(() => { throw new RangeError("at idle") }, 50)`)
  await context.ready
  const end = await context.ended
  assert.deepEqual(ended(end), { reason: 'crash', exitCode: 1, code: 'ERR_CONTEXT_EXITED', zombie: false })
  assert.equal(String(end.error?.cause), 'RangeError: at idle')
  assert.equal(exits.find(({ contextId }) => contextId === context.id)?.error?.message, 'at idle')
  assert.equal(starts.filter(({ contextId }) => contextId > context.id).length, 0)
})

for (const [what, thrown] of [['an error', 'new Error("x")'], ['null', 'null'], ['undefined', 'undefined'], ['a string', '"text"']]) {
  test(`a handler that throws ${what} ends the context, and every request in flight with it`, async (t) => {
    const context = startSource(t, `export default (req, res) => { if (req.url === '/throw') throw ${thrown} }`)
    await context.ready
    const answers = await Promise.all([ask(context, '/'), ask(context, '/throw')])
    assert.deepEqual(answers.map(({ outcome }) => outcome), ['ERR_CONTEXT_EXITED', 'ERR_CONTEXT_EXITED'])
    assert.deepEqual(ended(await context.ended), { reason: 'crash', exitCode: 1, code: 'ERR_CONTEXT_EXITED', zombie: false })
  })
}

test('an unhandled rejection ends the context as it ends a process', async (t) => {
  const context = startSource(t, `export default () => { Promise.reject(new Error('nobody listens')) }`)
  await context.ready
  assert.equal((await ask(context, '/')).outcome, 'ERR_CONTEXT_EXITED')
  const end = await context.ended
  assert.equal(end.reason, 'crash')
  assert.match(end.error?.message ?? '', /nobody listens/)
})

test('an application that catches uncaught exceptions goes on, and no request beside the throwing one is lost', async (t) => {
  const context = startSource(t, `
    process.on('uncaughtException', () => {})
    export default (req, res) => { if (req.url === '/throw') throw new Error('caught'); res.end(req.url) }`)
  await context.ready
  // The three leave in one message.
  const first = ask(context, '/a')
  void ask(context, '/throw')
  const last = ask(context, '/b')
  assert.equal((await first).body, '/a')
  assert.equal((await last).body, '/b')
  assert.equal(context.state, 'serving')
})

// How a start fails.

const FAILURES: readonly (readonly [string, string, string, RegExp])[] = [
  ['an entry that throws', 'app.mjs', 'throw new Error("at load")', /at load/],
  ['an entry that throws null', 'app.mjs', 'throw null', /null/],
  ['a CommonJS entry that throws', 'app.cjs', 'throw new Error("at load")', /at load/],
  ['a syntax error', 'app.mjs', 'export default (', /Unexpected/],
  ['a syntax error in CommonJS', 'app.cjs', 'module.exports = (', /Unexpected/],
  ['a missing package', 'app.mjs', 'import "no-such-package-anywhere"', /no-such-package-anywhere/],
  ['a missing file', 'app.mjs', 'import "./no-such-file.mjs"', /no-such-file/],
  ['a rejected promise while loading', 'app.mjs', 'Promise.reject(new Error("early")); await new Promise((r) => setTimeout(r, 1000))', /early/],
  ['an error whose message cannot be read', 'app.mjs', 'throw { get message() { throw 1 } }', /could not be loaded from .*app\.mjs/],
  ['an object that cannot be shown', 'app.mjs', 'throw Object.create(null)', /could not be loaded/],
  ['an entry that exports nothing and never listens', 'app.mjs', 'export const answer = 42', /exports nothing/],
  ['an empty CommonJS entry', 'app.cjs', '', /exports nothing/],
  ['a top-level await that nothing settles', 'app.mjs', 'await new Promise(() => {})', /code 13|exports nothing/],
]
for (const [what, name, source, message] of FAILURES) {
  test(`${what} is a failed start, at once and with its reason`, async (t) => {
    const context = startSource(t, source, { name })
    const error = await refusal(context.ready)
    assert.equal(error.code, 'ERR_START_FAILED')
    assert.match(error.message, message)
    const end = await context.ended
    assert.equal(end.error?.code, 'ERR_START_FAILED')
    assert.equal(context.state, 'exited')
  })
}

test("a failed start keeps the tenant's own error as its cause: name, code and stack", async (t) => {
  const context = startSource(t, 'throw Object.assign(new RangeError("with code"), { code: "E_OWN" })')
  const cause = (await refusal(context.ready)).cause as Error & { code: string }
  assert.equal(cause.name, 'RangeError')
  assert.equal(cause.code, 'E_OWN')
  assert.match(cause.stack ?? '', /app\.mjs:1/)
})

test('an entry that exports the wrong kind says which was asked for', async (t) => {
  const context = startSource(t, HELLO, { kind: 'fetch' })
  assert.match((await refusal(context.ready)).message, /kind 'fetch'/)
})

for (const [what, source] of [
  ['a top-level await that nothing settles while a timer runs', 'setInterval(() => {}, 1e6); await new Promise(() => {})'],
  ['an entry that never listens while a timer runs', 'setInterval(() => {}, 1e6)'],
  ['an endless loop while loading', 'while (true);'],
  ['an error whose message never returns', 'throw { get message() { while (true); } }'],
] as const) {
  test(`${what} ends at startupTimeout with ERR_START_TIMEOUT`, async (t) => {
    const context = startSource(t, source, { limits: { startupTimeout: 400 } })
    assert.equal((await refusal(context.ready)).code, 'ERR_START_TIMEOUT')
    const end = await context.ended
    assert.deepEqual({ reason: end.reason, zombie: end.zombie }, { reason: 'startup', zombie: false })
  })
}

test('a thread that cannot be made is a failed start, thrown at once', (t) => {
  const spec = specOf(appFile(t, HELLO), { env: { NODE_OPTIONS: '--no-such-option-anywhere' } })
  assert.throws(() => startThread(spec, systemClock), (error: unknown) => {
    assert.ok(error instanceof TenantryError)
    assert.equal(error.code, 'ERR_START_FAILED')
    assert.match(error.message, /no-such-option-anywhere/)
    return true
  })
})

// terminate()

for (const [what, code] of [
  ['an endless loop', 'while (true);'],
  ['a microtask loop', 'const spin = () => Promise.resolve().then(spin); spin()'],
  ['a nextTick loop', 'const spin = () => process.nextTick(spin); spin()'],
  ['Atomics.wait', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'],
  ['a promise that never settles', 'void new Promise(() => {})'],
  ['a loop in an exit handler', 'process.on("exit", () => { while (true); }); process.exit()'],
] as const) {
  test(`terminate() ends ${what}, and the request in it hears why`, async (t) => {
    const context = startSource(t, `export default (req, res) => { if (req.url === '/first') return res.end(); ${code} }`)
    await context.ready
    await ask(context, '/first')
    const answer = ask(context, '/')
    // Long enough for the frame to arrive; that it spins then is the point of the test.
    await new Promise((resolve) => setTimeout(resolve, 100))
    const error = new TenantryError('ERR_CONTEXT_DEADLOCK', 'stuck')
    const end = await context.terminate('deadlock', error)
    assert.equal((await answer).outcome, 'ERR_CONTEXT_DEADLOCK')
    assert.deepEqual({ reason: end.reason, zombie: end.zombie, error: end.error }, { reason: 'deadlock', zombie: false, error })
  })
}

test('the first reason to terminate counts, and every caller gets the same end', async (t) => {
  const exits = record(t, 'tenantry:context:exit')
  const context = startSource(t, HELLO)
  await context.ready
  const [first, second] = await Promise.all([context.terminate('lru'), context.terminate('memory')])
  assert.equal(first.reason, 'lru')
  assert.equal(second, first)
  assert.equal(await context.terminate('admin'), first)
  assert.equal(exits.filter(({ contextId }) => contextId === context.id).length, 1)
})

test('terminate() before the application is ready rejects who waits for it', async (t) => {
  const context = startSource(t, HELLO)
  const [error, end] = await Promise.all([refusal(context.ready), context.terminate('shutdown')])
  assert.equal(error.code, 'ERR_CONTEXT_EXITED')
  assert.equal(end.reason, 'shutdown')
})

// drain()

test('draining finishes what is in flight, tells the application, and takes no further request', async (t) => {
  const context = startSource(t, `
    let release
    process.on('SIGTERM', () => { console.log('told'); process.exit(0) })
    export default (req, res) => { if (req.url === '/slow') release = () => res.end('slow done'); else { release(); res.end('go') } }`)
  const output = record(t, 'tenantry:context:output')
  await context.ready
  const slow = ask(context, '/slow')
  const go = ask(context, '/go')
  context.drain()
  context.drain()
  assert.equal((await slow).body, 'slow done')
  assert.equal((await go).body, 'go')
  assert.equal((await context.ended).exitCode, 0)
  await until(() => output.some(({ contextId, line }) => contextId === context.id && line === 'told'))
})

test('a drained end is put down to the reason it was drained for, unless it exits under a request or crashes', async (t) => {
  const source = `export default (req, res) => {
    if (req.url === '/exit') setTimeout(() => process.exit(3), 50)
    else if (req.url === '/crash') setTimeout(() => { throw new Error('on purpose') }, 50)
    else res.end('fine')
  }`
  for (const [path, reason] of [['/', 'age'], ['/exit', 'exit'], ['/crash', 'crash']] as const) {
    const exits = record(t, 'tenantry:context:exit')
    const context = startSource(t, source)
    await context.ready
    const asked = ask(context, path)
    if (path === '/') await asked
    context.drain('age')
    const end = await context.ended
    assert.deepEqual([end.reason, end.terminated, end.zombie], [reason, false, false])
    assert.deepEqual(exits.filter(({ contextId }) => contextId === context.id).map((exit) => exit.reason), [reason])
    await asked
  }
})

test('whoever leases a context hears that it is condemned before its requests fail', async (t) => {
  const context = startSource(t, HELLO)
  await context.ready
  const heard: string[] = []
  context.onCondemned = (reason) => void heard.push(`${reason}: ${context.inFlight} in flight`)
  const asked = ask(context, '/')
  const end = await context.terminate('admin')
  assert.deepEqual([heard, end.terminated], [['admin: 1 in flight'], true])
  assert.equal((await asked).outcome, 'ERR_CONTEXT_EXITED')
})

test('a SIGTERM listener that closes its server ends the context as it would end a process', async (t) => {
  const context = startSource(t, `
    import http from 'node:http'
    const server = http.createServer((req, res) => res.end('x')).listen(3000)
    process.on('SIGTERM', () => server.close(() => { process.exitCode = 7 }))`)
  await context.ready
  assert.equal((await ask(context, '/')).body, 'x')
  context.drain()
  assert.equal((await context.ended).exitCode, 7)
})

test('what a fetch handler handed to waitUntil is finished before a drained context ends', async (t) => {
  const context = startSource(t, `
    process.on('exit', () => console.log(globalThis.done === true ? 'after the work' : 'too early'))
    export default { fetch(request, env, context) {
      context.waitUntil(new Promise((resolve) => setTimeout(() => { globalThis.done = true; resolve() }, 100)))
      return new Response('ok')
    } }`)
  const output = record(t, 'tenantry:context:output')
  await context.ready
  assert.equal((await ask(context, '/')).body, 'ok')
  context.drain()
  await context.ended
  await until(() => output.some(({ contextId }) => contextId === context.id))
  assert.deepEqual(output.filter(({ contextId }) => contextId === context.id).map(({ line }) => line), ['after the work'])
})

// What a context sees of its host.

test("a context's environment is its own: nothing of the host's, nothing of the keeper's", async (t) => {
  process.env['HOST_SECRET'] = 'hidden'
  t.after(() => { delete process.env['HOST_SECRET'] })
  const context = startSource(t, 'export default (req, res) => res.end(JSON.stringify(process.env))', {
    env: { OWN: '1' }, label: 'env.test', processGroup: 'pg',
  })
  await context.ready
  assert.deepEqual(await askJson(context), { OWN: '1', TENANTRY_APPLICATION_GROUP: 'env.test', TENANTRY_PROCESS_GROUP: 'pg' })
})

test("a tenant's change of its environment stays in its context", async (t) => {
  const context = startSource(t, 'process.env.LEAK = "x"; export default (req, res) => res.end(process.env.LEAK)')
  await context.ready
  assert.equal((await ask(context, '/')).body, 'x')
  assert.equal(process.env['LEAK'], undefined)
})

test('two contexts of the same entry share nothing: modules, globals, prototypes', async (t) => {
  const entry = appFile(t, 'globalThis.n ??= 0; Array.prototype.mark ??= 0; export default (req, res) => res.end(String(++globalThis.n + ++Array.prototype.mark))')
  const contexts = [startEntry(t, entry), startEntry(t, entry)]
  await Promise.all(contexts.map(({ ready }) => ready))
  for (const context of contexts) assert.equal((await ask(context, '/')).body, '2')
  assert.equal('n' in globalThis, false)
  assert.equal('mark' in Array.prototype, false)
})

test('the scoreboard counts requests and bytes, and can be read while the context spins', async (t) => {
  const context = startSource(t, `export default (req, res) => {
    if (req.url === '/spin') while (true);
    req.resume().on('end', () => res.end('12345')) }`)
  await context.ready
  await ask(context, '/', 'abc')
  await ask(context, '/')
  await until(() => context.scoreboard.read('served') === 2)
  const { bytesIn, bytesOut, inFlight, heapUsed, heartbeat, lastActivity } = context.scoreboard.snapshot()
  assert.deepEqual({ bytesIn, bytesOut, inFlight }, { bytesIn: 3, bytesOut: 10, inFlight: 0 })
  assert.ok(heapUsed > 1e6 && heartbeat > 0 && lastActivity > 0)
  void ask(context, '/spin')
  await until(() => context.scoreboard.read('inFlight') === 1)
})

test('a thread that fails in the very moment in which it is terminated throws nothing here', async (t) => {
  const context = startSource(t, `
    export default (req, res) => { res.end(); setTimeout(() => { throw new Error('at the last moment') }, 20) }`)
  await context.ready
  await ask(context, '/')
  // Its error is on its way when it is told to end: Tinypool waits for 'exit' then, and hears 'error' first.
  for (const until = performance.now() + 300; performance.now() < until;);
  const { reason, zombie } = await context.terminate('admin')
  assert.deepEqual([reason, zombie], ['admin', false])
})
