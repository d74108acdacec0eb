import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ask, askJson, eventually } from './client.ts'
import { line, serve } from './command.ts'
import { openHouse, tenantFolder, writeTenant } from './house.ts'
import { createRuntime } from '../../src/runtime.ts'
import type { ChildProcess } from 'node:child_process'
import type { TestContext } from 'node:test'
import type { ProcessGroupOptions } from '../../src/process-group-options.ts'

const windows = process.platform === 'win32'

/** Says where it runs and what it sees; reads and writes what it is asked to. */
const APP = `
import fs from 'node:fs'
import { execArgv } from 'node:process'
export default (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://a.test')
  const file = searchParams.get('file')
  try {
    if (pathname === '/read') fs.readFileSync(file)
    if (pathname === '/write') fs.writeFileSync(file, 'written')
  } catch (error) { return void res.end(JSON.stringify({ code: error.code })) }
  res.end(JSON.stringify({ pid: process.pid, env: process.env, execArgv, umask: process.umask(), title: process.title, mode: file && (fs.statSync(file).mode & 0o777).toString(8) }))
}`

const MAIN = { applicationGroup: '%{GLOBAL}' }

const inPool = (pool: ProcessGroupOptions, options = {}): object => ({ ...options, processGroup: 'pool', processGroups: { pool } })

test('a daemon under the permission model serves what it may read, and its tenants read and write nothing else', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': { 'index.mjs': APP, 'data.txt': 'own' } })
  const own = path.join(folder, 'a.test', 'data.txt')
  const other = await tenantFolder(t, { s: { 'secret.txt': 'secret' } })
  for (const applicationGroup of ['%{HOST}', '%{GLOBAL}']) {
    const pool = { permission: { read: [folder] } }
    const runtime = createRuntime({ tenants: folder, applicationGroup, processGroup: 'pool', processGroups: { pool }, logger: false })
    t.after(() => runtime.destroy())
    const codeOf = async (url: string): Promise<unknown> => {
      const answer = await runtime.fetch(new Request(`http://a.test${url}`))
      assert.equal(answer.status, 200)
      return (await answer.json() as { code?: string }).code
    }
    assert.equal(await codeOf(`/read?file=${own}`), undefined)
    assert.equal(await codeOf(`/read?file=${other}/s/secret.txt`), 'ERR_ACCESS_DENIED')
    assert.equal(await codeOf('/read?file=/etc/hosts'), 'ERR_ACCESS_DENIED')
    assert.equal(await codeOf(`/write?file=${own}`), 'ERR_ACCESS_DENIED')
    await runtime.close()
  }
})

test('a daemon has its own options of Node, environment, umask and name', { skip: windows }, async (t) => {
  const { port, folder } = await openHouse(t, { 'a.test': APP }, inPool({
    execArgv: ['--stack-trace-limit=7', '--no-deprecation'], env: { OF_THE_DAEMON: '1', PATH: '/nowhere' }, umask: '027', workingDirectory: '/',
  }, MAIN))
  const seen = await askJson(port, 'a.test')
  assert.deepEqual((seen['execArgv'] as string[]).slice(0, 2), ['--stack-trace-limit=7', '--no-deprecation'])
  assert.deepEqual(Object.keys(seen['env'] as object).toSorted(), ['TENANTRY_APPLICATION_GROUP', 'TENANTRY_PROCESS_GROUP'])
  assert.equal(seen['umask'], 0o027)
  assert.equal(seen['title'], 'tenantry: pool')
  const file = path.join(folder, 'made.txt')
  assert.equal((await askJson(port, 'a.test', `/write?file=${file}`))['mode'], '640')
})

test('a working directory that went away is said in the log, and ends no server', async (t) => {
  const workingDirectory = mkdtempSync(path.join(tmpdir(), 'tenantry-'))
  const { port, log, runtime } = await openHouse(t, { 'a.test': APP }, inPool({ workingDirectory }, { queueTimeout: 700 }))
  rmdirSync(workingDirectory)
  assert.equal((await ask(port, 'a.test')).status, 504)
  assert.ok(log.some(({ msg, err }) => msg === 'daemon exited' && /ENOENT/.test((err as { message: string }).message)))
  assert.equal(runtime.state, 'serving')
})

test('refresh: changed code is served, a broken one leaves the old, removed tenants go, new ones come', async (t) => {
  const say = (word: string): string => `export default (req, res) => res.end('${word} ' + process.pid)`
  const { port, folder, runtime } = await openHouse(t, { 'a.test': say('old'), 'b.test': say('b') }, inPool({ processes: 2, startAhead: true }))
  const own = String(process.pid)
  const words = async (host: string): Promise<string> => (await ask(port, host)).text
  // In both daemons.
  await Promise.all(Array.from({ length: 8 }, () => words('a.test')))
  await words('b.test')
  await writeTenant(folder, 'a.test', say('new'))
  await runtime.refresh()
  for (const answer of await Promise.all(Array.from({ length: 8 }, () => words('a.test')))) {
    assert.match(answer, /^new/)
    assert.ok(!answer.endsWith(own))
  }
  await writeTenant(folder, 'a.test', 'export default (')
  await runtime.refresh()
  assert.match(await words('a.test'), /^new/)
  await writeTenant(folder, 'c.test', say('c'))
  await rm(path.join(folder, 'b.test'), { recursive: true })
  await runtime.refresh()
  assert.match(await words('c.test'), /^c/)
  assert.notEqual((await ask(port, 'b.test')).status, 200)
  await eventually('the group of the removed tenant is gone', () =>
    runtime.stats().processGroups[0]?.processes.every(({ list }) => list.every(({ label }) => !label.startsWith('b.test'))) === true)
  assert.ok(await runtime.evict(`a.test:${port}`))
})

const RUNTIME = JSON.stringify(new URL('../../src/index.js', pathToFileURL(import.meta.filename)).href)

/** A front in a process of its own; `body` has `runtime`, `get` and `folder`, its folder of temporary files. */
async function runFront(t: TestContext, body: string, env: NodeJS.ProcessEnv = {}): Promise<ChildProcess & { first: string }> {
  const folder = await tenantFolder(t, { 'a.test': APP, tmp: { keep: '' } })
  await rm(path.join(folder, 'tmp', 'keep'))
  const front = spawn(process.execPath, ['--input-type=module', '-e', `
    import fs from 'node:fs'
    import { createRuntime } from ${RUNTIME}
    const folder = process.env.TMPDIR
    const tenants = { 'a.test': ${JSON.stringify(path.join(folder, 'a.test', 'index.mjs'))} }
    const runtime = createRuntime({ tenants, processGroup: 'pool', processGroups: { pool: {} }, logger: false })
    const get = async () => await (await runtime.fetch(new Request('http://a.test/'))).json()
    ${body}`], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env, TMPDIR: path.join(folder, 'tmp') } })
  t.after(() => front.kill('SIGKILL'))
  const [first] = await Promise.race([once(front.stdout, 'data'), once(front, 'exit')]) as [Buffer | number]
  return Object.assign(front, { first: String(first).trim() })
}

test('a runtime with process groups makes no file before its first request, and leaves none', { skip: windows }, async (t) => {
  const { first } = await runFront(t, `
    const before = fs.readdirSync(folder).length
    await get()
    const during = fs.readdirSync(folder).length
    await runtime.close()
    console.log(before, during, fs.readdirSync(folder).length)`)
  assert.equal(first, '0 1 0')
})

test('without setpriv a daemon serves as ever, and ends when its front is gone', { skip: windows }, async (t) => {
  const front = await runFront(t, 'console.log((await get()).pid); setInterval(() => {}, 1000)', { PATH: '/nowhere' })
  const pid = Number(front.first)
  assert.ok(pid > 0 && pid !== front.pid)
  front.kill('SIGKILL')
  await eventually('the daemon is gone', () => {
    try {
      return !process.kill(pid, 0) || (existsSync('/proc') && /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
    } catch {
      return true
    }
  })
})

test('the command runs process groups of its configuration file, and SIGHUP reloads what is in them', { skip: windows }, async (t) => {
  const folder = await tenantFolder(t, {
    'a.test': `export default (req, res) => res.end(JSON.stringify({ word: 'old', pid: process.pid, group: process.env.TENANTRY_PROCESS_GROUP, of: process.env.OF }))`,
    'b.test': { 'index.mjs': `export default (req, res) => res.end(JSON.stringify({ pid: process.pid, group: process.env.TENANTRY_PROCESS_GROUP }))`, 'tenant.json': '{"processGroup":"%{GLOBAL}"}' },
    'c.test': { 'index.mjs': 'export default () => {}', 'tenant.json': '{"processGroup":"nowhere"}' },
  })
  const config = path.join(folder, '..', `${path.basename(folder)}.json`)
  await writeFile(config, JSON.stringify({ tenants: folder, lane: 'relay', processGroup: 'shops', processGroups: { shops: { processes: 2, maxRequests: 1000 } } }))
  t.after(() => rm(config))
  const command = await serve(t, [config])
  const a = await askJson(command.port, 'a.test')
  const b = await askJson(command.port, 'b.test')
  assert.deepEqual([a['word'], a['group'], b['group'], b['pid']], ['old', 'shops', '', command.pid])
  assert.notEqual(a['pid'], command.pid)
  assert.equal((await ask(command.port, 'c.test')).status, 500)
  assert.equal((await line(command, ({ code }) => code === 'ERR_PROCESS_GROUP_MISSING')).msg.includes("'nowhere'"), true)
  await writeTenant(folder, 'a.test', `export default (req, res) => res.end(JSON.stringify({ word: 'new' }))`)
  command.kill('SIGHUP')
  await eventually('the new code is served', async () => (await askJson(command.port, 'a.test'))['word'] === 'new')
  command.kill('SIGTERM')
  assert.deepEqual(await command.ended, { code: 0, signal: null })
  await eventually('the daemon is gone', () => {
    try {
      return !process.kill(a['pid'] as number, 0)
    } catch {
      return true
    }
  })
})
