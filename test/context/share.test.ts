import { test } from 'node:test'
import assert from 'node:assert/strict'
import os from 'node:os'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../src/clock.ts'
import { cpuTime, parseSchedstat } from '../../src/context/cpu-time.ts'
import type { LiveContext } from '../../src/context/live-context.ts'
import { startThread } from '../../src/context/thread.ts'
import { eventually } from '../behaviour/client.ts'
import { appFile, askJson, specOf } from './start.ts'
import type { TestContext } from 'node:test'

const APP = `
import os from 'node:os'
import { Worker } from 'node:worker_threads'
export default async (req, res) => {
  if (req.url === '/work') { const end = Date.now() + 300; while (Date.now() < end) {} return void res.end('1') }
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

function start(t: TestContext, nice: number): LiveContext {
  const context = startThread(specOf(appFile(t, APP)), systemClock, nice)
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

test('a context says how much CPU it has used, and waiting is none on Linux', async (t) => {
  const context = start(t, 0)
  await context.ready
  const before = context.cpuTime()
  assert.ok(before > 0)
  // A crowded machine gives the thread less than the time that passed.
  await eventually('the work is counted', async () => {
    await askJson(context, '/work')
    return context.cpuTime() - before > 150
  })
  if (process.platform !== 'linux') return
  assert.ok(context.scoreboard.read('threadId') > 0)
  const idle = context.cpuTime()
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.ok(context.cpuTime() - idle < 150)
})

test('where Linux does not say it, the time of the busy event loop counts', async () => {
  const worker = new Worker('const end = Date.now() + 200; while (Date.now() < end) {}; setInterval(() => {}, 1e9)', { eval: true })
  await once(worker, 'online')
  await new Promise((resolve) => setTimeout(resolve, 300))
  for (const unknown of [0, 2 ** 31 - 1]) assert.ok(cpuTime(unknown, worker) > 50)
  await worker.terminate()
  assert.equal(parseSchedstat('1500000 20 3\n'), 1.5)
  assert.throws(() => parseSchedstat(''))
})

test('a context cannot start threads without end, and one that ended makes room for another', async (t) => {
  const context = start(t, 0)
  await context.ready
  const most = Math.max(16, 2 * os.availableParallelism())
  assert.deepEqual(await askJson(context, '/threads'), { started: most, refused: 100 - most, isWorker: true })
})
