import { test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { matches, readBlocks, runBlocks } from './doc-blocks.ts'
import type { TestContext } from 'node:test'

const fence = '```'

function page(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-page-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'page.md')
  writeFileSync(path, text)
  return path
}

test('a block that prints what the page shows passes, and another does not', async (t) => {
  const good = page(t, `${fence}js run\nconsole.log(1 + 1)\n${fence}\n\n${fence}text output\n2\n${fence}\n`)
  const [right] = await runBlocks(t, good)
  assert.equal(right?.printed, right?.promised)

  const bad = page(t, `${fence}js run\nconsole.log(1 + 1)\n${fence}\n\n${fence}text output\n3\n${fence}\n`)
  const [wrong] = await runBlocks(t, bad)
  assert.deepEqual([wrong?.printed, wrong?.promised], ['2\n', '3\n'])
})

test('a block that prints although the page shows nothing is found', async (t) => {
  const [outcome] = await runBlocks(t, page(t, `${fence}js run\nconsole.log('hidden')\n${fence}\n`))
  assert.notEqual(outcome?.printed, outcome?.promised)
})

test('a block that throws is a failure with its place and its reason', async (t) => {
  const path = page(t, `text\n\n${fence}js run\nthrow new Error('boom')\n${fence}\n`)
  await assert.rejects(runBlocks(t, path), /page\.md:3 failed:[\s\S]*boom/)
})

test('files are written before the block that uses them, and shell blocks share their folder', async (t) => {
  const path = page(t, [
    `${fence}js file=apps/a.mjs`, 'export default 7', fence,
    `${fence}sh run`, "node -e \"import('./apps/a.mjs').then((m) => console.log(m.default))\"", fence,
    `${fence}text output`, '7', fence, '',
  ].join('\n'))
  const [outcome] = await runBlocks(t, path)
  assert.equal(outcome?.printed, outcome?.promised)
})

test('a block without "run" is left alone', async (t) => {
  const path = page(t, `${fence}js\nthrow 1\n${fence}\n`)
  assert.deepEqual(await runBlocks(t, path), [])
  assert.deepEqual(readBlocks(path).map(({ run, line }) => [run, line]), [[false, 1]])
})

test('… stands for any text within a line, and for nothing more', () => {
  assert.ok(matches('at http://127.0.0.1:4711 (1.5)\n', 'at http://127.0.0.1:… (1.5)\n'))
  assert.ok(!matches('at 1\nat 2\n', 'at …\n'))
  assert.ok(!matches('1x5\n', '1.5\n'))
})
