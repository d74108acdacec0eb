import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readTree, sumPs, TREE_SOURCE } from '../../src/bench/process-tree.ts'

test('what ps says is added up over a process and all below it, and over nobody else', () => {
  const text = [
    '  30    20  4000   0:01.50', // before its parent
    '  10     1  1000   0:02.00',
    '  20    10  2000  01:00:00',
    '  40     1  8000   9:00.00',
    '  50    30  1000  1-00:00:01',
  ].join('\n')
  assert.deepEqual(sumPs(text, 10), { cpu: 2 + 3600 + 1.5 + 86_401, resident: 8000 * 1024, proportional: undefined })
})

test('a process uses what its children use as well', { skip: TREE_SOURCE === undefined && 'this system does not say' }, async (t) => {
  const script = `
    const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000); console.log("x")'], { stdio: ['ignore', 'inherit', 'inherit'] })
    process.on('SIGTERM', () => { child.kill(); process.exit() })
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGTERM'))
  await once(child.stdout, 'data')
  const own = await readTree(process.pid)
  const below = await readTree(child.pid as number, { proportional: true })
  // Two Nodes are more than one could be, whatever they share.
  assert.ok((below.resident ?? 0) > 60e6, `${below.resident}`)
  assert.ok((own.resident ?? 0) > (below.resident ?? 0), 'this process is above them')
  assert.ok((below.cpu ?? 0) > 0)
  if (TREE_SOURCE === '/proc') assert.ok((below.proportional ?? 0) > 0 && (below.proportional ?? 0) < (below.resident ?? 0))
})
