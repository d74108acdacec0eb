import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask } from './client.ts'
import { line, runCommand, serve } from './command.ts'
import { COUNTING, tenantFolder } from './house.ts'
import type { TestContext } from 'node:test'

async function run(t: TestContext, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const command = runCommand(t, args)
  const { code } = await command.ended
  return { code, out: command.log.map(({ msg }) => msg).join('\n'), err: command.stderr() }
}

test('check says what was found and exits 0', async (t) => {
  const folder = await tenantFolder(t, {
    'a.test': COUNTING, '*.sites.test': COUNTING, _default: COUNTING,
    'm.test': { 'tenant.json': JSON.stringify({ mounts: { '/': 'index.mjs', '/blog': 'blog.mjs' } }), 'index.mjs': COUNTING, 'blog.mjs': COUNTING },
  })
  const { code, out, err } = await run(t, 'check', folder)
  assert.deepEqual([code, err], [0, ''])
  for (const text of ['a.test', '*.sites.test', '_default', '/blog', '4 tenants']) assert.ok(out.includes(text), text)
})

test('where nothing can be handed over, a hand-off that is demanded is refused by check as by serve', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  // Another system, as far as the command can see.
  const env = { NODE_OPTIONS: `--import "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})"` }
  for (const name of ['check', 'serve']) {
    const command = runCommand(t, [name, folder, '--lane', 'handoff', ...(name === 'serve' ? ['--port', '0'] : [])], env)
    assert.equal((await command.ended).code, 2, name)
    assert.match(command.stderr(), /^tenantry: .*lane is 'handoff', but handing a connection over takes 64-bit Linux[^\n]*\n$/, name)
  }
  for (const lane of ['auto', 'relay']) assert.equal((await runCommand(t, ['check', folder, '--lane', lane], env).ended).code, 0)
})

const WRONG: readonly (readonly [string, Record<string, string>, RegExp])[] = [
  ['no entry', { 'readme.md': '' }, /no entry/],
  ['settings that are no JSON', { 'tenant.json': '{', 'index.mjs': COUNTING }, /tenant\.json cannot be read/],
  ['an entry that is not there', { 'tenant.json': '{"entry":"gone.mjs"}' }, /'gone\.mjs' does not exist/],
  ['an unknown setting', { 'tenant.json': '{"entri":"index.mjs"}', 'index.mjs': COUNTING }, /unknown setting 'entri'.*entry/],
  ['a limit without a unit that is known', { 'tenant.json': '{"limits":{"memoryLimit":"64 stones"}}', 'index.mjs': COUNTING }, /memoryLimit .*64 stones/],
  ['a label that is misspelt', { 'tenant.json': '{"applicationGroup":"%{HOTS}"}', 'index.mjs': COUNTING }, /%\{HOTS\}.*%\{HOST\}/],
]

for (const [what, files, message] of WRONG) {
  test(`check finds ${what}: exit 2 and one line that names the tenant, and serve serves the others`, async (t) => {
    const folder = await tenantFolder(t, { 'a.test': COUNTING, 'wrong.test': files })
    const { code, err } = await run(t, 'check', folder)
    assert.equal(code, 2)
    assert.match(err, /^tenantry: wrong\.test: [^\n]*\n$/)
    assert.match(err, message)
    const command = await serve(t, [folder])
    await line(command, (entry) => entry['label'] === 'wrong.test' && message.test(entry.msg))
    assert.equal((await ask(command.port, 'a.test')).status, 200)
    assert.equal((await ask(command.port, 'wrong.test')).status, 421)
  })
}

test('a folder whose name is no canonical host is a problem that says how it must be called', async (t) => {
  const folder = await tenantFolder(t, { 'Shop.Test': COUNTING, 'a_b c': COUNTING, 'fine.test': COUNTING })
  const { code, err } = await run(t, 'check', folder)
  assert.equal(code, 2)
  assert.match(err, /'Shop\.Test' must be named 'shop\.test'/)
  assert.match(err, /a_b c/)
})

test('wrong usage is one line that names the nearest, and exit code 2', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  for (const [args, message] of [
    [['serve', folder, '--max-contxets', '3'], /--max-contxets.*--max-contexts/],
    [['serve', folder, '--max-contexts', 'many'], /--max-contexts is 'many'/],
    [['serve', folder, '--memory-limit', '1M5'], /--memory-limit is '1M5'/],
    [['serve', folder, '--handler-timeout', '2 fortnights'], /--handler-timeout is '2 fortnights'/],
    [['serve', folder, '--port', '70000'], /--port is '?70000/],
    [['serve', folder, '--max-groups', '9', '--max-contexts', '3'], /maxGroups is 9, but maxContexts is 3/],
    [['srve', folder], /srve.*serve/],
    [['serve', path.join(folder, 'not-there')], /not-there' does not exist/],
    [['check', folder, '--application-group', '%{HOTS}'], /%\{HOTS\}/],
  ] as const) {
    const { code, err } = await run(t, ...args)
    assert.equal(code, 2, args.join(' '))
    assert.match(err, /^tenantry: [^\n]*\n$/, args.join(' '))
    assert.match(err, message)
  }
})

test('--port 0 tells the real url, and a configuration file is served from its own folder', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING })
  const file = path.join(folder, 'house.json')
  await writeFile(file, JSON.stringify({ tenants: { 'x.test': 'a.test/index.mjs' }, maxContexts: 3 }))
  const { port, url, log, stderr } = await serve(t, [file])
  assert.ok(port > 0)
  assert.equal(url, `http://127.0.0.1:${port}`)
  assert.match((await ask(port, 'x.test')).text, /"group":"x\.test:/)
  const caps = log.find(({ msg }) => msg === 'listening')?.['caps'] as Record<string, unknown> | undefined
  assert.equal(caps?.['maxContexts'], 3)
  assert.match(stderr(), new RegExp(`curl -H 'Host: x\\.test' ${url}/`))
})

test("--allow '*' serves any host that a tenant fits and says so in a warning", async (t) => {
  const folder = await tenantFolder(t, { 'a.test': COUNTING, _default: COUNTING })
  const command = await serve(t, [folder, '--allow', '*'])
  await line(command, ({ level, msg }) => level === 40 && msg.startsWith('any host is allowed'))
  assert.match((await ask(command.port, 'whatever.example')).text, /"group":"whatever\.example:/)
})
