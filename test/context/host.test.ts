import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { appFile, folder, specOf } from './start.ts'
import type { ChildProcess } from 'node:child_process'
import type { TestContext } from 'node:test'
import type { Overrides } from './start.ts'

const built = (file: string): string => JSON.stringify(pathToFileURL(path.resolve('build', file)).href)

interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A host of its own in a child process: `context` is one context of it, `say` its only output. */
function startHost(t: TestContext, app: string, script: string, flags: readonly string[] = [], overrides: Overrides = {}): ChildProcess {
  const spec = specOf(appFile(t, app), { limits: { terminateTimeout: 300 }, ...overrides })
  const file = path.join(folder(t), 'host.mjs')
  // A test that is killed runs no t.after: a host with a thread that cannot be stopped would spin on for ever.
  writeFileSync(file, `
    process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL')).resume().unref()
    import { startThread } from ${built('src/context/thread.js')}
    import { systemClock } from ${built('src/clock.js')}
    import { subscribe } from ${built('src/events.js')}
    import { writeSync } from 'node:fs'
    const say = (value) => writeSync(1, JSON.stringify(value) + '\\n')
    const context = startThread(${JSON.stringify(spec)}, systemClock)
    ${script}`)
  const child = spawn(process.execPath, [...flags, file], { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  return child
}

async function finish(child: ChildProcess): Promise<Finished> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => { stdout += String(chunk) })
  child.stderr?.on('data', (chunk) => { stderr += String(chunk) })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, stdout, stderr }
}

/** The lines a host says, until one satisfies. */
async function heard(child: ChildProcess, wanted: (value: unknown) => boolean): Promise<unknown> {
  let text = ''
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += String(chunk)
    for (const line of text.split('\n').slice(0, -1)) {
      const value = JSON.parse(line) as unknown
      if (wanted(value)) return value
    }
  }
  throw new Error(`the host ended after it said ${text}`)
}

const HELLO = 'export default (req, res) => res.end("hello")'

test('an idle context keeps no process alive', async (t) => {
  const child = startHost(t, `${HELLO}; setInterval(() => {}, 1000); console.log('x')`, `
    await context.ready
    say(context.state)`)
  const { code, stdout, stderr } = await finish(child)
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '"serving"\n', stderr: '' })
})

test('nothing that a tenant writes appears on the stdout or stderr of its host', async (t) => {
  const child = startHost(t, `console.log('out'); console.error('err'); ${HELLO}`, `
    const hold = setInterval(() => {}, 1000)
    let lines = 0
    subscribe('tenantry:context:output', () => { if (++lines === 2) { clearInterval(hold); say('both') } })`)
  const { code, stdout, stderr } = await finish(child)
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '"both"\n', stderr: '' })
})

test('a tenant that crashes, exits or rejects at idle never ends its host', async (t) => {
  for (const end of ['throw new Error("x")', 'process.exit(9)', 'Promise.reject(new Error("y"))', 'process.abort()']) {
    const child = startHost(t, `${HELLO}; setTimeout(() => { ${end} }, 30)`, `
      const hold = setInterval(() => {}, 1000)
      await context.ready
      say((await context.ended).error.code)
      // A respawned or broken pool would show itself within these turns.
      setTimeout(() => clearInterval(hold), 50)`)
    const { code, stdout, stderr } = await finish(child)
    assert.deepEqual({ end, code, stdout, stderr }, { end, code: 0, stdout: '"ERR_CONTEXT_EXITED"\n', stderr: '' })
  }
})

test('a tenant that stops its host by killing its own process ends only its context', async (t) => {
  const child = startHost(t, `${HELLO}; setTimeout(() => process.kill(process.pid, 'SIGKILL'), 30)`, `
    const hold = setInterval(() => {}, 1000)
    await context.ready
    say((await context.ended).exitCode)
    clearInterval(hold)`)
  const { code, stdout } = await finish(child)
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '137\n' })
})

const STUCK: readonly (readonly [string, (t: TestContext) => string])[] = [
  ['a built-in on a huge array-like', () => 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)'],
  ['a read of a FIFO', (t) => {
    const fifo = path.join(folder(t), 'fifo')
    execFileSync('mkfifo', [fifo])
    return `process.getBuiltinModule?.('fs') ?? 0; (await import('node:fs')).readFileSync(${JSON.stringify(fifo)})`
  }],
]
for (const [what, code] of STUCK) {
  test(`${what} outlives terminate(): the context becomes a zombie at its deadline, and the host goes on`,
    { skip: process.platform === 'win32' }, async (t) => {
      const child = startHost(t, `export default async () => { ${code(t)} }`, `
        const hold = setInterval(() => {}, 1000)
        const warnings = []
        subscribe('tenantry:warning', ({ message }) => warnings.push(message))
        await context.ready
        const connection = context.channel.connect({ encrypted: false }, () => {})
        const listener = { onFailure(error) { this.code = error.code } }
        context.channel.open({ connection, method: 'GET', url: '/', rawHeaders: ['Host', 'x'], flags: 3, mount: 0, end: true }, listener)
        while (context.scoreboard.read('inFlight') === 0) await new Promise((resolve) => setTimeout(resolve, 10))
        await new Promise((resolve) => setTimeout(resolve, 100))
        const started = Date.now()
        const { reason, exitCode, zombie } = await context.terminate('handler')
        say({ reason, exitCode, zombie, state: context.state, request: listener.code, warnings: warnings.length,
          late: Date.now() - started > 2000, again: (await context.terminate('admin')).reason })`)
      const said = await heard(child, () => true)
      assert.deepEqual(said, {
        reason: 'handler', exitCode: null, zombie: true, state: 'zombie', request: 'ERR_CONTEXT_EXITED', warnings: 1,
        late: false, again: 'handler',
      })
      child.kill('SIGKILL')
      await finish(child)
    })
}

const MODEL = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'

test("a context of a host under Node's permission model has no more rights than its host", async (t) => {
  const child = startHost(t, `
    import fs from 'node:fs'
    const can = (file) => { try { fs.readFileSync(file); return true } catch (error) { return error.code } }
    console.log(JSON.stringify([can('/etc/hostname'), can(new URL(import.meta.url).pathname)]))
    ${HELLO}`, `
    const hold = setInterval(() => {}, 1000)
    subscribe('tenantry:context:output', ({ line, stream }) => { if (stream === 'stdout') { say(JSON.parse(line)); clearInterval(hold) } })
    await context.ready`,
  [MODEL, `--allow-fs-read=${process.cwd()}`, '--allow-fs-read=/tmp', '--allow-worker'])
  const { code, stdout } = await finish(child)
  assert.deepEqual({ code, stdout }, { code: 0, stdout: '["ERR_ACCESS_DENIED",true]\n' })
})
