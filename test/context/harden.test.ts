import { test } from 'node:test'
import assert from 'node:assert/strict'
import { BroadcastChannel } from 'node:worker_threads'
import { ask, askJson, startSource } from './start.ts'
import type { Answer } from './start.ts'
import type { TestContext } from 'node:test'

/** What an expression gives inside a context, in ESM and in CommonJS: the value, or what it throws. */
async function evaluate(t: TestContext, imports: Readonly<Record<string, string>>, expression: string): Promise<unknown[]> {
  const body = `const seen = () => { try { return { value: ${expression} } } catch (error) { return { thrown: String(error.message) } } }
    const handler = (req, res) => res.end(JSON.stringify(seen()))`
  const esm = Object.entries(imports).map(([name, id]) => `import ${name} from '${id}'`).join('\n')
  const cjs = Object.entries(imports).map(([name, id]) => `const ${name} = require('${id}')`).join('\n')
  const contexts = [
    startSource(t, `${esm}\n${body}\nexport default handler`),
    startSource(t, `${cjs}\n${body}\nmodule.exports = handler`, { name: 'app.cjs' }),
  ]
  return Promise.all(contexts.map(async (context) => {
    await context.ready
    return askJson(context)
  }))
}

const both = (value: unknown): unknown[] => [value, value]

test('parentPort is sealed: null as on a main thread, by import and by require', async (t) => {
  assert.deepEqual(await evaluate(t, { threads: 'node:worker_threads' }, '[threads.parentPort, threads.workerData]'), both({ value: [null, null] }))
})

test('the named imports of a sealed module are sealed, too', async (t) => {
  const context = startSource(t, `
    import { parentPort, BroadcastChannel, workerData } from 'node:worker_threads'
    export default (req, res) => res.end(JSON.stringify([parentPort, typeof BroadcastChannel, workerData]))`)
  await context.ready
  assert.deepEqual(await askJson(context), [null, 'undefined', null])
})

test('nothing that the keeper of the thread left behind can be found', async (t) => {
  const context = startSource(t, `
    import { createRequire } from 'node:module'
    const require = createRequire(import.meta.url)
    export default (req, res) => res.end(JSON.stringify([
      typeof process.__tinypool_state__, Object.keys(process.env).filter((name) => /pool/i.test(name)),
      typeof process.mainModule, Object.keys(require.cache), typeof require.main, process.execArgv, process.argv.length]))`)
  await context.ready
  assert.deepEqual(await askJson(context), ['undefined', [], 'undefined', [], 'undefined', [], 2])
})

for (const name of ['binding', '_linkedBinding', '_debugProcess', '_debugEnd', '_getActiveHandles', '_getActiveRequests']) {
  test(`process.${name} is refused, or missing as in every worker: it acts on the whole process`, async (t) => {
    for (const seen of await evaluate(t, { processModule: 'node:process' }, `processModule.${name}('fs')`)) {
      assert.match((seen as { thrown: string }).thrown, /not available in a Tenantry context|is not a function/)
    }
  })
}

test('process.report is gone: it would show the host\'s environment', async (t) => {
  assert.deepEqual(await evaluate(t, {}, 'typeof process.report'), both({ value: 'undefined' }))
})

for (const call of ['setFlagsFromString("--allow-natives-syntax")', 'writeHeapSnapshot()', 'getHeapSnapshot()', 'takeCoverage()']) {
  test(`v8.${call} is refused`, async (t) => {
    for (const seen of await evaluate(t, { v8: 'node:v8' }, `v8.${call}`)) {
      assert.match((seen as { thrown: string }).thrown, /not available in a Tenantry context/)
    }
  })
}

test('the inspector cannot be connected to the main thread', async (t) => {
  assert.deepEqual(await evaluate(t, { inspector: 'node:inspector' }, 'typeof new inspector.Session().connectToMainThread'), both({ value: 'undefined' }))
})

test('tenants cannot hear each other, or the host, on a BroadcastChannel', async (t) => {
  const bus = new BroadcastChannel('bus')
  t.after(() => bus.close())
  const heard: unknown[] = []
  bus.addEventListener('message', (event) => heard.push((event as Event & { data: unknown }).data))
  const seen = await evaluate(t, { threads: 'node:worker_threads' },
    '[typeof globalThis.BroadcastChannel, typeof threads.BroadcastChannel, new (threads.BroadcastChannel ?? class { postMessage() {} })("bus").postMessage(1) ?? null]')
  assert.deepEqual(seen, both({ value: ['undefined', 'undefined', null] }))
  assert.deepEqual(heard, [])
})

test('postMessageToThread is refused, also where Node has it', async (t) => {
  for (const seen of await evaluate(t, { threads: 'node:worker_threads' }, 'threads.postMessageToThread(0, 1)')) {
    assert.match((seen as { thrown: string }).thrown, /not available in a Tenantry context/)
  }
})

const kill = async (t: TestContext, call: string, before = ''): Promise<{ answer: Answer; exitCode: number | null | undefined; state: string }> => {
  const context = startSource(t, `${before}; export default (req, res) => { const out = ${call}; res.end(String(out)) }`)
  await context.ready
  const answer = await ask(context, '/')
  const exitCode = answer.outcome === 'end' ? undefined : (await context.ended).exitCode
  return { answer, exitCode, state: context.state }
}

test('process.kill of the own process ends only the context, with the code a shell would show', async (t) => {
  assert.equal((await kill(t, 'process.kill(process.pid, "SIGKILL")')).exitCode, 137)
  assert.equal((await kill(t, 'process.kill(process.pid)')).exitCode, 143)
  assert.equal((await kill(t, 'process.kill(process.pid, 15)')).exitCode, 143)
})

test('a signal that the application listens to is heard, by name and by number; signal 0 only asks', async (t) => {
  const listens = 'let heard = ""; process.on("SIGTERM", (name) => { heard += name })'
  for (const signal of ['"SIGTERM"', '15']) {
    const { answer } = await kill(t, `(process.kill(process.pid, ${signal}), heard)`, listens)
    assert.equal(answer.body, 'SIGTERM')
  }
  assert.equal((await kill(t, 'process.kill(process.pid, 0)')).answer.body, 'true')
})

test('process.kill answers as Node does: errors for what is no signal, other processes are still reached', async (t) => {
  const context = startSource(t, `
    import { spawn } from 'node:child_process'
    import { once } from 'node:events'
    const attempt = (...args) => { try { return process.kill(...args) } catch (error) { return error.code } }
    export default async (req, res) => {
      const child = spawn('sleep', ['60'])
      const killed = attempt(child.pid, 'SIGTERM')
      const [, signal] = await once(child, 'exit')
      res.end(JSON.stringify([attempt(process.pid, 'SIGNOPE'), attempt(process.pid, 999), attempt('x'), attempt(2 ** 22 + 7), killed, signal]))
    }`, { env: { PATH: process.env['PATH'] ?? '' } })
  await context.ready
  assert.deepEqual(await askJson(context), ['ERR_UNKNOWN_SIGNAL', 'EINVAL', 'ERR_INVALID_ARG_TYPE', 'ESRCH', true, 'SIGTERM'])
})

test('no signal reaches the parent, which is the front of a daemon; other questions about it are answered', async (t) => {
  const context = startSource(t, `
    const attempt = (...args) => { try { return process.kill(...args) } catch (error) { return error.code } }
    const { ppid } = process
    export default (req, res) => {
      // One that does nothing to a process that runs.
      res.end(JSON.stringify([attempt(ppid, 'SIGCONT'), attempt(String(ppid), 'SIGCONT'), attempt(-ppid, 'SIGCONT'), attempt(ppid, 0)]))
    }`)
  await context.ready
  assert.deepEqual(await askJson(context), ['EPERM', 'EPERM', 'EPERM', true])
})

test('no way of writing the own pid reaches the whole process', async (t) => {
  for (const pid of ['String(process.pid)', '-process.pid', '0', '-1']) {
    assert.equal((await kill(t, `process.kill(${pid}, 'SIGKILL')`)).exitCode, 137)
  }
  // A real-time signal: nameless in Node, and deadly by default.
  assert.equal((await kill(t, 'process.kill(process.pid, 40)')).exitCode, 168)
})
