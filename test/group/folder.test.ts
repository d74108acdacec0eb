import { test } from 'node:test'
import type { TestContext } from 'node:test'
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { runnableEndings } from '../../src/group/folder-entry.ts'
import { openSource } from '../../src/group/tenant-source.ts'
import type { FoundTenant, TenantDirectory } from '../../src/group/tenant.ts'
import { DEFAULTS } from './source-defaults.ts'

/** A folder with these files; an object is JSON. */
function folder(t: TestContext, files: Record<string, string | object>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'tenantry-folder-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  write(root, files)
  return root
}

function write(root: string, files: Record<string, string | object>): void {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
}

function entryOf(directory: TenantDirectory, host: string): string | undefined {
  const found = directory.find(host) as FoundTenant | undefined
  return found?.tenant.mounts.map(({ entry }) => path.basename(entry)).join()
}

test('an entry is found in tenant.json, then package.json, then by name', (t) => {
  const root = folder(t, {
    'settings.test/tenant.json': { entry: 'app.js' }, 'settings.test/app.js': '', 'settings.test/server.js': '',
    'limits.test/tenant.json': { limits: { maxQueue: 1 } }, 'limits.test/server.js': '',
    'main.test/package.json': { main: 'lib/main' }, 'main.test/lib/main.js': '', 'main.test/server.js': '',
    'exports.test/package.json': { exports: { '.': { import: './esm.mjs', require: './cjs.cjs' } }, main: 'cjs.cjs' },
    'exports.test/esm.mjs': '', 'exports.test/cjs.cjs': '',
    'lost-main.test/package.json': { main: 'index.js' }, 'lost-main.test/server.mjs': '',
    'server.test/server.js': '', 'server.test/index.js': '',
    'index.test/index.cjs': '', 'source.test/src/server.js': '',
    'express.test/app.js': '', 'express.test/package.json': { scripts: { start: 'node bin/www' } }, 'express.test/src/server.js': '',
  })
  const directory = openSource(root, DEFAULTS)
  assert.deepEqual(directory.problems(), [])
  const entries = Object.fromEntries((directory.patterns() ?? []).map((host) => [host, entryOf(directory, host)]))
  assert.deepEqual(entries, {
    'settings.test': 'app.js', 'limits.test': 'server.js', 'main.test': 'main.js', 'exports.test': 'esm.mjs',
    'lost-main.test': 'server.mjs', 'server.test': 'server.js', 'index.test': 'index.cjs', 'source.test': 'server.js',
    'express.test': 'app.js',
  })
})

test('an exact host comes before a wildcard, and _default last', async (t) => {
  const directory = openSource(folder(t, {
    'a.example.test/server.js': '', '*.example.test/index.js': '', '*.deep.example.test/server.cjs': '', '_default/index.mjs': '',
  }), DEFAULTS)
  const rules = ['a.example.test', 'b.example.test', 'x.deep.example.test', 'example.test'].map(async (host) => (await directory.find(host))?.pattern)
  assert.deepEqual(await Promise.all(rules), ['a.example.test', '*.example.test', '*.deep.example.test', '_default'])
})

test('without _default an unknown host has no tenant', (t) => {
  const directory = openSource(folder(t, { 'a.test/server.js': '' }), DEFAULTS)
  assert.equal(directory.find('b.test'), undefined)
})

test('an entry in TypeScript is served where Node runs it, and elsewhere the problem says what to do', (t) => {
  const directory = openSource(folder(t, { 'typed.test/index.ts': '', 'both.test/index.ts': '', 'both.test/app.js': '' }), DEFAULTS)
  const runs = runnableEndings().includes('.ts')
  assert.equal(entryOf(directory, 'both.test'), runs ? 'index.ts' : 'app.js')
  if (runs) return assert.equal(entryOf(directory, 'typed.test'), 'index.ts')
  assert.match(directory.problems()[0]?.message ?? '', /there is index\.ts, which Node [\d.]+ does not run: compile it/)
})

test('a broken tenant is a problem that does not stop the others', (t) => {
  const directory = openSource(folder(t, {
    'good.test/server.js': '',
    'Upper.test/server.js': '',
    'empty.test/readme.md': '',
    'syntax.test/tenant.json': '{ entry: 1 }',
    'list.test/tenant.json': '[]',
    'lost.test/tenant.json': { entry: 'nowhere.js' },
    'typo.test/tenant.json': { entry: 'x.js', limitz: {} },
    'a b/server.js': '', '*/server.js': '',
  }), DEFAULTS)
  assert.deepEqual(directory.patterns(), ['good.test'])
  const problems = Object.fromEntries(directory.problems().map(({ pattern, message }) => [pattern, message]))
  assert.match(problems['Upper.test'] ?? '', /must be named 'upper\.test'/)
  assert.match(problems['empty.test'] ?? '', /no entry: .*server, index, app, src\/server/)
  assert.match(problems['syntax.test'] ?? '', /tenant\.json cannot be read/)
  assert.match(problems['list.test'] ?? '', /tenant\.json holds no object/)
  assert.match(problems['lost.test'] ?? '', /'nowhere\.js' does not exist/)
  assert.match(problems['typo.test'] ?? '', /'limitz' \(did you mean limits\?\)/)
  assert.match(problems['*'] ?? '', /_default/)
  assert.equal(Object.keys(problems).length, 8)
})

test('the host of a broken tenant does not fall to a wildcard, which is another application', (t) => {
  const directory = openSource(folder(t, { 'a.example.test/readme.md': '', '*.example.test/server.js': '' }), DEFAULTS)
  assert.equal(directory.find('a.example.test'), undefined)
  assert.notEqual(directory.find('b.example.test'), undefined)
})

test('files, dot-folders and node_modules are ignored, links to folders are followed', (t) => {
  const root = folder(t, { 'real/server.js': '', '.git/server.js': '', 'node_modules/x/index.js': '', 'README.md': '' })
  symlinkSync(path.join(root, 'real'), path.join(root, 'link.test'), 'junction')
  symlinkSync(path.join(root, 'loop.test'), path.join(root, 'loop.test'))
  const directory = openSource(root, DEFAULTS)
  assert.deepEqual(directory.patterns(), ['link.test', 'real'])
  assert.deepEqual(directory.problems(), [])
})

test('a refresh says what was added, changed and removed', async (t) => {
  const root = folder(t, { 'same.test/server.js': '', 'changed.test/server.js': '', 'touched.test/server.js': '', 'gone.test/server.js': '' })
  const directory = openSource(root, DEFAULTS)
  assert.deepEqual(await directory.refresh(), { added: [], changed: [], removed: [] })
  write(root, { 'new.test/server.js': '', 'changed.test/tenant.json': { env: { A: '1' } } })
  utimesSync(path.join(root, 'touched.test/server.js'), 1, 1)
  rmSync(path.join(root, 'gone.test'), { recursive: true })
  assert.deepEqual(await directory.refresh(), { added: ['new.test'], changed: ['changed.test', 'touched.test'], removed: ['gone.test'] })
  assert.equal(directory.find('gone.test'), undefined)
  assert.notEqual(directory.find('new.test'), undefined)
})

test('a tenant that is broken by a change goes on as it was, and is a problem', async (t) => {
  const root = folder(t, { 'a.test/server.js': '' })
  const directory = openSource(root, DEFAULTS)
  const before = directory.find('a.test')
  write(root, { 'a.test/tenant.json': '{' })
  assert.deepEqual(await directory.refresh(), { added: [], changed: [], removed: [] })
  assert.equal(directory.problems().length, 1)
  assert.deepEqual(directory.find('a.test'), before)
  write(root, { 'a.test/tenant.json': { env: { A: '1' } } })
  assert.deepEqual((await directory.refresh()).changed, ['a.test'])
  assert.deepEqual(directory.problems(), [])
})

test('a folder that is none is refused with its name', () => {
  assert.throws(() => openSource('./no/such/folder', DEFAULTS), { code: 'ERR_CONFIG', message: /no\/such\/folder.* is no folder/ })
})
