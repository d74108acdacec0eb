import { test } from 'node:test'
import assert from 'node:assert/strict'
import os from 'node:os'
import { systemClock } from '../../src/clock.ts'
import { ThreadContext } from '../../src/context/thread.ts'
import { appFile, askJson, specOf } from './start.ts'
import type { TestContext } from 'node:test'

const APP = `
import os from 'node:os'
import { Worker } from 'node:worker_threads'
export default async (req, res) => {
  if (req.url === '/nice') return void res.end(String(os.getPriority(0)))
  const threads = []
  let refused = 0
  for (let n = 0; n < 100; n++) try { threads.push(new Worker('setInterval(() => {}, 1e9)', { eval: true })) } catch { refused++ }
  const isWorker = threads.every((thread) => thread instanceof Worker) && Worker.name === 'Worker'
  const started = threads.length
  await Promise.all(threads.map((thread) => thread.terminate()))
  const again = new Worker('', { eval: true })
  await new Promise((resolve) => again.once('exit', resolve))
  res.end(JSON.stringify({ started, refused, isWorker }))
}
`

function start(t: TestContext, nice: number): ThreadContext {
  const context = new ThreadContext(specOf(appFile(t, APP)), systemClock, nice)
  const alive = setInterval(() => {}, 1000)
  t.after(async () => {
    clearInterval(alive)
    await context.terminate('admin')
  })
  return context
}

test('on Linux a context stands back as far as it is told, and the front does not', { skip: process.platform !== 'linux' }, async (t) => {
  const before = os.getPriority(0)
  const [plain, nice] = [start(t, 0), start(t, before + 7)]
  await Promise.all([plain.ready, nice.ready])
  assert.deepEqual([await askJson(plain, '/nice'), await askJson(nice, '/nice')], [before, before + 7])
  assert.equal(os.getPriority(0), before)
})

test('a context cannot start threads without end, and one that ended makes room for another', async (t) => {
  const context = start(t, 0)
  await context.ready
  const most = Math.max(16, 2 * os.availableParallelism())
  assert.deepEqual(await askJson(context, '/threads'), { started: most, refused: 100 - most, isWorker: true })
})
