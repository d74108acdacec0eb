import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Wire } from '../behaviour/client.ts'
import { ask, askJson, startProgram } from './program.ts'
import { strangersMayRead } from './strangers.ts'

const isRoot = process.getuid?.() === 0

test('three hosts, two of them in a daemon of another user: killed in mid-answer, and the others lose no request', async (t) => {
  const mayBeOther = isRoot && strangersMayRead()
  if (isRoot && !mayBeOther) t.diagnostic('this folder is readable by root alone: the daemon stays root')
  if (isRoot) process.env['DAEMON_USER'] = mayBeOther ? 'nobody' : 'root'
  t.after(() => delete process.env['DAEMON_USER'])
  const { url, stop } = await startProgram(t, 'examples/process-groups/server.mjs')
  const [front, shop, legacy] = await Promise.all(['front', 'shop', 'legacy'].map(async (name) => await askJson(url, `${name}.example.test`)))
  assert.equal(shop?.['pid'], legacy?.['pid'])
  assert.notEqual(shop?.['pid'], front?.['pid'])
  if (mayBeOther) assert.deepEqual([front?.['uid'], shop?.['uid'] === 0, legacy?.['uid'] === 0], [0, false, false])

  const wire = await Wire.open(t, Number(new URL(url).port))
  wire.send('GET /slowly HTTP/1.1\r\nHost: shop.example.test\r\n\r\n')
  await wire.until('{"host":"s')

  let over = false
  const others = Promise.all(['front', 'legacy'].flatMap((name) => Array.from({ length: 4 }, async () => {
    const statuses: number[] = []
    while (!over) statuses.push((await ask(url, `${name}.example.test`)).status)
    return statuses
  })))
  await new Promise((resolve) => setTimeout(resolve, 200))
  process.kill(shop?.['pid'] as number, 'SIGKILL')
  const cut = await wire.rest()
  await new Promise((resolve) => setTimeout(resolve, 800))
  over = true
  const statuses = (await others).flat()

  assert.doesNotMatch(cut, /\r\n0\r\n\r\n/, 'the broken answer is not complete')
  assert.deepEqual(statuses.filter((status) => status !== 200), [])
  assert.ok(statuses.length > 50)
  assert.notEqual((await askJson(url, 'shop.example.test'))['pid'], shop?.['pid'])
  assert.equal(await stop(), 0)
})
