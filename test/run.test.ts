import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { eventually } from './behaviour/client.ts'
import type { TestContext } from 'node:test'

interface Run {
  readonly code: number | null
  readonly said: string
  /** The process that the test file started. */
  readonly left: number
}

const FINE = `import test from 'node:test'; test('is fine', () => {})`
/** A child that would live for ten minutes, and whose number is written down. */
const CHILD = `
  import test from 'node:test'
  import { spawn } from 'node:child_process'
  import { writeFileSync } from 'node:fs'
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); setTimeout(process.exit, 600_000)'], { stdio: 'inherit' })
  writeFileSync(new URL('./pid', import.meta.url), String(child.pid))
  child.unref()
  test('starts a child', () => {})`

/** Runs the runner over two files: one that is fine, and `source`. */
async function run(t: TestContext, source: string, ...options: string[]): Promise<Run> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tenantry-run-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(path.join(folder, 'fine.test.js'), FINE)
  writeFileSync(path.join(folder, 'other.test.js'), source)
  const child = spawn(process.execPath, ['test/run.mjs', '--time-limit=2', '--concurrency=2', ...options], {
    env: { ...process.env, TENANTRY_TEST_FOLDER: folder, NODE_TEST_CONTEXT: undefined, TEST_AGAIN: undefined }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { said += text })
  const [code] = (await once(child, 'close')) as [number | null]
  let left = 0
  try {
    left = Number(readFileSync(path.join(folder, 'pid'), 'utf8'))
  } catch { /* it started none */ }
  return { code, said, left }
}

/** It runs; a dead process that nobody has collected yet does not. */
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

test('the closing lines count the tests of all files', async (t) => {
  const { code, said } = await run(t, `import test from 'node:test'; test('one', () => {}); test('two', { skip: true }, () => {})`)
  assert.equal(code, 0, said)
  assert.match(said, /ℹ tests 3\nℹ suites 0\nℹ pass 2\nℹ fail 0\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\nℹ duration_ms [\d.]+\n$/)
})

test('a quiet run says what fails and how many passed, and nothing of files that pass', async (t) => {
  const { code, said } = await run(t, `import test from 'node:test'; test('is wrong', () => { throw new Error('on purpose') })`, '--quiet')
  assert.equal(code, 1)
  assert.match(said, /on purpose[^]*failing files[^]*other\.test\.js\n[^]*ℹ pass 1\nℹ fail 1\n/)
  assert.doesNotMatch(said, /is fine|fine\.test\.js/)
})

test('a run without some files counts and names only the others', async (t) => {
  const { code, said } = await run(t, `throw new Error('it ran')`, '--without=other')
  assert.equal(code, 0, said)
  assert.match(said, /ℹ tests 1\n/)
  assert.doesNotMatch(said, /other\.test\.js|it ran/)
})

test('a test that fails and a file that breaks off are named, and fail the run', async (t) => {
  const wrong = await run(t, `import test from 'node:test'; test('is wrong', () => { throw new Error('on purpose') })`)
  assert.equal(wrong.code, 1)
  assert.match(wrong.said, /on purpose[^]*failing files[^]*other\.test\.js\n[^]*ℹ pass 1\nℹ fail 1\n/)
  const broken = await run(t, `process.exit(7)`)
  assert.equal(broken.code, 1)
  assert.match(broken.said, /other\.test\.js: ended \(7\) before its tests did\n[^]*ℹ pass 1\nℹ fail 1\n/)
})

const HANGING: readonly (readonly [string, string])[] = [
  ['a loop that never ends', `${CHILD}; test('spins', () => { for (;;); })`],
  ['a timer that nobody stops', `${CHILD}; setInterval(() => {}, 1000)`],
  ['a thread that cannot be stopped', `${CHILD}
    const { Worker } = await import('node:worker_threads')
    test('ends its thread', async () => {
      const thread = new Worker('Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)', { eval: true })
      await new Promise((resolve) => { setTimeout(resolve, 200) })
      thread.terminate()
    })`],
  ['a handler that ignores SIGTERM', `${CHILD}; process.on('SIGTERM', () => {}); test('waits', () => new Promise(() => { setInterval(() => {}, 1000) }))`],
]
for (const [what, source] of HANGING) {
  test(`${what} fails its file at the time limit, and leaves no process behind`, { skip: process.platform !== 'linux' }, async (t) => {
    const { code, said, left } = await run(t, source)
    assert.equal(code, 1)
    assert.match(said, /other\.test\.js: did not end within 2 s and was killed\n/)
    await eventually('its child is gone, too', () => !lives(left))
  })
}

test('a child that outlives its file fails that file and is killed', { skip: process.platform !== 'linux' }, async (t) => {
  const { code, said, left } = await run(t, CHILD)
  assert.equal(code, 1)
  assert.match(said, /other\.test\.js: left a process behind, which was killed\n/)
  await eventually('it is gone', () => !lives(left))
})

/** Fails the first time that it runs. */
const ONCE = `
  import test from 'node:test'
  import { existsSync, writeFileSync } from 'node:fs'
  const mark = new URL('./mark', import.meta.url)
  test('is right the second time', () => {
    if (existsSync(mark)) return
    writeFileSync(mark, '')
    throw new Error('not yet')
  })`

test('a file that fails is run again, alone, where that was asked for; it is named, and counts as it went then', async (t) => {
  assert.equal((await run(t, ONCE)).code, 1)
  const again = await run(t, ONCE, '--again')
  assert.equal(again.code, 0)
  assert.match(again.said, /not yet[^]*again, alone: .*other\.test\.js[^]*failed beside others, passed alone:\n {2}.*other\.test\.js\n[^]*ℹ pass 2\nℹ fail 0\n/)
  const never = await run(t, `import test from 'node:test'; test('is wrong', () => { throw new Error('on purpose') })`, '--again')
  assert.equal(never.code, 1)
  assert.match(never.said, /failing files[^]*other\.test\.js\n[^]*ℹ pass 1\nℹ fail 1\n/)
})
