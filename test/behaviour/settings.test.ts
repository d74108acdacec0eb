import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson } from './client.ts'
import { line, serve } from './command.ts'
import { COUNTING, openHouse, tenantFolder, writeTenant } from './house.ts'
import type { Command } from './command.ts'

async function reread(command: Command, change: () => Promise<unknown>): Promise<Record<string, unknown>> {
  const from = command.log.length
  await change()
  command.kill('SIGHUP')
  return await line(command, ({ msg }) => msg === 'tenants read again', from)
}

/** Files that are changed within one tick of the file system's clock still differ in it. */
let touches = 0
async function touch(file: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, '')
  const time = Date.now() / 1000 + ++touches
  await utimes(file, time, time)
}

test('SIGHUP takes over settings of the configuration file: hosts, hooks, labels and what tenants fall back to', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING, 'b.test': COUNTING })
  const file = path.join(folder, '.config.mjs')
  const write = (text: string): Promise<void> => writeFile(file, `export default { tenants: '.', ${text} }`)
  await write(`allowedHosts: ['a.test']`)
  const command = await serve(t, [file])
  const { port } = command
  const status = async (host: string, url = '/'): Promise<number> => (await ask(port, host, url)).status
  assert.deepEqual([await status('a.test'), await status('b.test')], [200, 421])

  await reread(command, () => write(`allowedHosts: ['a.test', 'b.test'], access: ({ url }) => url !== '/no', maxStarting: 1`))
  assert.deepEqual([await status('b.test'), await status('a.test', '/no')], [200, 403])
  const warning = await line(command, ({ msg }) => msg === 'these settings need a restart')
  assert.deepEqual(warning['changed'], ['maxStarting'])
  assert.equal((await askJson(port, 'a.test'))['requests'], 2, 'a group that nothing changed for goes on')

  await reread(command, () => write(`applicationGroup: 'all of them'`))
  assert.equal((await askJson(port, 'a.test'))['group'], 'all of them')
  assert.equal(await status('a.test', '/no'), 200)

  await reread(command, () => write(`bodyLimit: 3`))
  assert.equal((await ask(port, 'b.test', '/', { method: 'POST', body: '1234' })).status, 413)

  const from = command.log.length
  await write(`maxGroups: 'many'`)
  command.kill('SIGHUP')
  const failed = await line(command, ({ msg }) => msg === 'reading again failed; nothing was changed', from)
  assert.equal(failed['code'], 'ERR_OPTION_INVALID')
  assert.equal((await ask(port, 'b.test', '/', { method: 'POST', body: '1234' })).status, 413)
})

test('refresh(options) reloads the groups whose limits it changed, and shows the options in effect', async (t) => {
  const { port, runtime, folder } = await openHouse(t, {
    'a.test': COUNTING,
    'own.test': { 'index.mjs': COUNTING, 'tenant.json': '{"limits":{"idleTimeout":"7s"}}' },
  })
  for (const host of ['a.test', 'own.test']) assert.equal((await askJson(port, host))['requests'], 1)
  const change = await runtime.refresh({ tenants: folder, idleTimeout: '20s', maxContexts: 3 })
  assert.deepEqual(change, { added: [], changed: ['a.test'], removed: [] })
  assert.deepEqual([runtime.options.idleTimeout, runtime.options.maxContexts === 3], [20_000, false])
  assert.equal((await askJson(port, 'a.test'))['requests'], 1)
  assert.equal((await askJson(port, 'own.test'))['requests'], 2, 'its own limit wins before and after')
})

test('refresh(options) that is wrong rejects, and everything goes on as it was', async (t) => {
  const { port, runtime, folder } = await openHouse(t, { 'a.test': COUNTING })
  await ask(port, 'a.test')
  for (const options of [{ tenants: folder, idleTimeout: 'soon' }, { tenants: `${folder}/gone` }, { tenants: folder, trustProxy: 'home' }]) {
    await assert.rejects(runtime.refresh(options), { name: 'TenantryError' })
  }
  assert.equal((await askJson(port, 'a.test'))['requests'], 2)
})

test('refresh(options) keeps a tenant that is broken now as it was', async (t) => {
  const { port, runtime, folder } = await openHouse(t, { 'a.test': COUNTING })
  await ask(port, 'a.test')
  await writeTenant(folder, 'a.test', { 'tenant.json': '{' })
  await runtime.refresh({ tenants: folder, bodyLimit: 5 })
  assert.equal((await askJson(port, 'a.test'))['requests'], 2)
  assert.equal(runtime.problems().length, 1)
})

test('of two refreshes at once the later one counts, also when the earlier one has more to read', async (t) => {
  const { runtime, folder } = await openHouse(t, { 'a.test': COUNTING })
  const entry = path.join(folder, 'a.test', 'index.mjs')
  const many = new Map(Array.from({ length: 20_000 }, (_, index) => [`h${index}.test`, entry]))
  await Promise.all([runtime.refresh({ tenants: many }), runtime.refresh({ tenants: { 'last.test': entry } })])
  assert.deepEqual(runtime.patterns(), ['last.test'])
})

test('touching tmp/restart.txt, or removing it, asks for new contexts: of that tenant only', async (t) => {
  const { port, runtime, folder } = await openHouse(t, { 'a.test': COUNTING, 'b.test': COUNTING })
  const requests = async (host: string): Promise<unknown> => (await askJson(port, host))['requests']
  assert.deepEqual([await requests('a.test'), await requests('b.test')], [1, 1])
  const file = path.join(folder, 'a.test', 'tmp', 'restart.txt')
  for (const act of [() => touch(file), () => touch(file), () => rm(file)]) {
    await act()
    assert.deepEqual((await runtime.refresh()).changed, ['a.test'])
    assert.equal(await requests('a.test'), 1)
  }
  assert.equal(await requests('b.test'), 2)
})

test('with --watch a touched tmp/restart.txt is enough', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  const command = await serve(t, [folder, '--watch'])
  assert.equal((await askJson(command.port, 'a.test'))['requests'], 1)
  await touch(path.join(folder, 'a.test', 'tmp', 'restart.txt'))
  await line(command, ({ msg, ...fields }) => msg === 'tenants read again' && JSON.stringify(fields['changed']) === '["a.test"]')
  assert.equal((await askJson(command.port, 'a.test'))['requests'], 1)
})

test('with --watch the entries of a table are watched, also of a tenant that came later, and so is their tmp/restart.txt', async (t) => {
  const folder = await tenantFolder(t, { 'one': COUNTING, 'two': { 'index.mjs': COUNTING } })
  await touch(path.join(folder, 'two', 'tmp', 'restart.txt'))
  const file = path.join(folder, 'tenantry.json')
  const write = (tenants: object): Promise<void> => writeFile(file, JSON.stringify({ tenants }))
  await write({ 'a.test': 'one/index.mjs' })
  const command = await serve(t, [file, '--watch'])
  const changed = async (act: () => Promise<unknown>, field: 'changed' | 'added'): Promise<unknown> => {
    const from = command.log.length
    await act()
    return (await line(command, ({ msg, ...fields }) => msg === 'tenants read again' && (fields[field] as string[]).length > 0, from))[field]
  }
  assert.equal((await askJson(command.port, 'a.test'))['requests'], 1)
  assert.deepEqual(await changed(() => touch(path.join(folder, 'one', 'index.mjs')).then(() => writeTenant(folder, 'one', COUNTING)), 'changed'), ['a.test'])
  assert.deepEqual(await changed(() => write({ 'a.test': 'one/index.mjs', 'b.test': { entry: 'two/index.mjs' } }), 'added'), ['b.test'])
  assert.equal((await askJson(command.port, 'b.test'))['requests'], 1)
  assert.deepEqual(await changed(() => touch(path.join(folder, 'two', 'tmp', 'restart.txt')), 'changed'), ['b.test'])
  assert.equal((await askJson(command.port, 'b.test'))['requests'], 1)
})
