import { test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { askJson, folder, startEntry } from './start.ts'
import type { TestContext } from 'node:test'

/** An application that reports what it may do with each path; it has a data file beside it, and a package two folders up. */
function restricted(t: TestContext): { readonly entry: string; readonly root: string } {
  const root = folder(t)
  mkdirSync(path.join(root, 'site', 'app'), { recursive: true })
  mkdirSync(path.join(root, 'node_modules', 'dep'), { recursive: true })
  writeFileSync(path.join(root, 'node_modules', 'dep', 'package.json'), '{"name":"dep","main":"index.js"}')
  writeFileSync(path.join(root, 'node_modules', 'dep', 'index.js'), 'module.exports = "from the package"')
  writeFileSync(path.join(root, 'site', 'app', 'data.txt'), 'data')
  writeFileSync(path.join(root, 'secret.txt'), 'secret')
  const entry = path.join(root, 'site', 'app', 'server.mjs')
  writeFileSync(entry, `
    import fs from 'node:fs'
    import dep from 'dep'
    import { execFileSync } from 'node:child_process'
    import { Worker } from 'node:worker_threads'
    const attempt = (action) => { try { return action() } catch (error) { return error.code } }
    const read = (file) => attempt(() => fs.readFileSync(file, 'utf8'))
    const write = (file) => attempt(() => { fs.writeFileSync(file, 'x'); return 'written' })
    const root = ${JSON.stringify(root)}
    export default (req, res) => res.end(JSON.stringify({
      dep, own: read(root + '/site/app/data.txt'), outside: read(root + '/secret.txt'), environ: read('/proc/self/environ'),
      writeOwn: write(root + '/site/app/new.txt'), writeExtra: write(root + '/extra/new.txt'),
      spawn: attempt(() => execFileSync('true') && 'ran'), thread: attempt(() => new Worker('0', { eval: true }) && 'started'),
    }))`)
  mkdirSync(path.join(root, 'extra'))
  return { entry, root }
}

test('under the permission model an application reads its own folder and its packages, and nothing else', async (t) => {
  const { entry } = restricted(t)
  const context = startEntry(t, entry, { permission: { read: [], write: [] } })
  await context.ready
  assert.deepEqual(await askJson(context), {
    dep: 'from the package', own: 'data', outside: 'ERR_ACCESS_DENIED', environ: 'ERR_ACCESS_DENIED',
    writeOwn: 'ERR_ACCESS_DENIED', writeExtra: 'ERR_ACCESS_DENIED', spawn: 'ERR_ACCESS_DENIED', thread: 'ERR_ACCESS_DENIED',
  })
})

test('what a tenant is allowed beyond that, it may do', async (t) => {
  const { entry, root } = restricted(t)
  const context = startEntry(t, entry, {
    permission: { read: [path.join(root, 'secret.txt')], write: [path.join(root, 'extra'), path.join(root, 'extra')] },
  })
  await context.ready
  const seen = (await askJson(context)) as Record<string, unknown>
  assert.equal(seen['outside'], 'secret')
  assert.equal(seen['writeExtra'], 'written')
  assert.equal(seen['writeOwn'], 'ERR_ACCESS_DENIED')
})

test('without the permission model the same application may do all of it', async (t) => {
  const { entry } = restricted(t)
  const context = startEntry(t, entry)
  await context.ready
  const seen = (await askJson(context)) as Record<string, unknown>
  assert.equal(seen['outside'], 'secret')
  assert.equal(seen['writeOwn'], 'written')
  assert.equal(seen['thread'], 'started')
})
