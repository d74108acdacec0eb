import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { ownResident } from '../../src/context/process-usage.ts'

test('the resident memory of this process is what Node says', () => {
  const [told, now] = [ownResident(), process.memoryUsage.rss()]
  assert.ok(told > now / 2 && told < now * 2, `${told} is not ${now}`)
})

test('at the limit of descriptors, where Node throws, it is what it was before', {
  skip: spawnSync('prlimit', ['--version']).status !== 0 && 'no prlimit',
}, () => {
  const file = new URL('../../src/context/process-usage.js', import.meta.url).href
  const source = `
    import { openSync } from 'node:fs'
    import { ownResident } from ${JSON.stringify(file)}
    const before = ownResident()
    try { for (;;) openSync('/dev/null') } catch {}
    let node = 0
    try { node = process.memoryUsage.rss() } catch {}
    process.stdout.write(JSON.stringify([node, ownResident() === before && before > 0]))`
  const text = execFileSync('prlimit', ['--nofile=64', process.execPath, '--input-type=module', '-e', source], { encoding: 'utf8' })
  assert.deepEqual(JSON.parse(text), [0, true])
})
