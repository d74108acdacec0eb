import { test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { askJson, folder, startEntry } from './start.ts'

test('process.chdir() moves what process.cwd() and path.resolve() answer, and nobody else', async (t) => {
  const own = folder(t)
  mkdirSync(path.join(own, 'inner'))
  writeFileSync(path.join(own, 'app.mjs'), `
    import path from 'node:path'
    const seen = [process.cwd(), path.resolve('x')]
    process.chdir('inner')
    seen.push(process.cwd(), path.resolve('x'))
    process.chdir('..')
    seen.push(process.cwd())
    for (const wrong of ['none', 'app.mjs', undefined]) try { process.chdir(wrong) } catch (error) { seen.push(error.code) }
    export default (req, res) => res.end(JSON.stringify([...seen, process.cwd()]))`)
  const before = process.cwd()
  const context = startEntry(t, path.join(own, 'app.mjs'))
  await context.ready
  const inner = path.join(own, 'inner')
  assert.deepEqual(await askJson(context), [
    own, path.join(own, 'x'), inner, path.join(inner, 'x'), own, 'ENOENT', 'ENOTDIR', 'ERR_INVALID_ARG_TYPE', own,
  ])
  assert.equal(process.cwd(), before)
})
