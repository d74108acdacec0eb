import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, Wire } from './client.ts'
import { line, serve } from './command.ts'
import { openHouse, tenantFolder, writeTenant } from './house.ts'
import type { Command } from './command.ts'

const version = (name: string): string => `
const slow = []
export default (req, res) => {
  if (req.url === '/slow') { res.write('begun '); setTimeout(() => res.end('finished by ${name}'), 400) }
  else res.end('${name}')
}
`

async function says(port: number, host: string): Promise<string> {
  const { status, text } = await ask(port, host)
  return status === 200 ? text : String(status)
}

/** Waits until the command has read its tenants again. */
async function reread(command: Command, change: () => Promise<unknown>, signal: boolean): Promise<Record<string, unknown>> {
  const from = command.log.length
  await change()
  if (signal) command.kill('SIGHUP')
  return await line(command, ({ msg }) => msg === 'tenants read again', from)
}

for (const by of ['SIGHUP', '--watch'] as const) {
  test(`changed, added, removed and broken tenant folders are noticed by ${by}`, async (t) => {
    const folder = await tenantFolder(t, { 'a.test': version('a1'), 'b.test': version('b1'), 'c.test': version('c1') })
    const command = await serve(t, by === '--watch' ? [folder, '--watch'] : [folder])
    const { port } = command
    const signal = by === 'SIGHUP'
    for (const host of ['a.test', 'b.test', 'c.test']) await ask(port, host)
    assert.equal(await says(port, 'd.test'), '421')

    const slow = await Wire.open(t, port)
    slow.send('GET /slow HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
    await slow.until('begun')
    const change = await reread(command, async () => {
      await writeTenant(folder, 'a.test', version('a2 is longer'))
      // Made aside and moved in, as deployments do.
      await mkdir(path.join(folder, '.new'))
      await writeFile(path.join(folder, '.new', 'index.mjs'), version('d1'))
      await rename(path.join(folder, '.new'), path.join(folder, 'd.test'))
      await rm(path.join(folder, 'c.test'), { recursive: true })
    }, signal)
    assert.deepEqual([change['added'], change['changed'], change['removed']], [['d.test'], ['a.test'], ['c.test']])
    assert.match(await slow.rest(), /finished by a1/, 'the old version finished what it had begun')
    assert.equal(await says(port, 'a.test'), 'a2 is longer')
    assert.equal(await says(port, 'b.test'), 'b1')
    assert.equal(await says(port, 'c.test'), '421')
    assert.equal(await says(port, 'd.test'), 'd1')

    await reread(command, () => writeTenant(folder, 'a.test', 'export default (req, res) => {{{'), signal)
    assert.equal(await says(port, 'a.test'), 'a2 is longer', 'what cannot start does not take the place of what serves')
    await reread(command, () => writeTenant(folder, 'b.test', { 'tenant.json': '{ not json' }), signal)
    assert.equal(await says(port, 'b.test'), 'b1', 'a tenant whose settings are broken goes on as it was')
    assert.equal(await says(port, 'd.test'), 'd1')
    await line(command, ({ msg }) => msg.startsWith('tenant cannot be served: tenant.json cannot be read'))
    await line(command, ({ msg }) => msg.includes('the old version goes on'))
  })
}

test('a reload under load answers every request', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': version('v0') })
  const command = await serve(t, [folder])
  await ask(command.port, 'a.test')
  const answers: Promise<string>[] = []
  let done = false
  const load = (async () => {
    while (!done) {
      answers.push(says(command.port, 'a.test'))
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
  })()
  for (const round of [1, 2, 3, 4]) {
    await reread(command, () => writeTenant(folder, 'a.test', version(`v${'x'.repeat(round)}`)), true)
  }
  done = true
  await load
  const seen = await Promise.all(answers)
  assert.deepEqual(seen.filter((text) => !text.startsWith('v')), [])
  assert.ok(new Set(seen).size >= 3, `versions seen: ${[...new Set(seen)].join()}`)
  assert.equal(await says(command.port, 'a.test'), 'vxxxx')
})

test('many SIGHUPs at once are one more reading, and the server goes on', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': version('a1') })
  const command = await serve(t, [folder])
  await ask(command.port, 'a.test')
  await writeTenant(folder, 'a.test', version('a2 now'))
  for (let index = 0; index < 20; index++) command.kill('SIGHUP')
  await line(command, ({ msg }) => msg === 'tenants read again')
  await eventually('the new version serves', async () => (await says(command.port, 'a.test')) === 'a2 now')
})

test('reload() starts a new context first, and rejects with why it could not start while the old one goes on', async (t) => {
  const { port, runtime, folder } = await openHouse(t, { 'a.test': version('a1') })
  assert.equal(await says(port, 'a.test'), 'a1')
  await writeTenant(folder, 'a.test', version('a2 now'))
  assert.equal(await runtime.reload(`a.test:${port}`), true)
  assert.equal(await says(port, 'a.test'), 'a2 now')
  await writeTenant(folder, 'a.test', `throw new Error('not today')`)
  await assert.rejects(runtime.reload(`a.test:${port}`), { name: 'TenantryError', code: 'ERR_START_FAILED', message: /not today/ })
  assert.equal(await says(port, 'a.test'), 'a2 now')
  assert.equal(await runtime.reload('never.test'), false)
})

test('a module besides the entry that changed is read by a reload', async (t) => {
  const { port, runtime, folder } = await openHouse(t, { 'a.test': {
    'index.mjs': `import { text } from './text.mjs'\nexport default (req, res) => res.end(JSON.stringify({ text }))`,
    'text.mjs': `export const text = 'first'`,
  } })
  assert.equal((await askJson(port, 'a.test'))['text'], 'first')
  await writeTenant(folder, 'a.test', { 'text.mjs': `export const text = 'second'` })
  await runtime.reload(`a.test:${port}`)
  assert.equal((await askJson(port, 'a.test'))['text'], 'second')
})
