import { test } from 'node:test'
import assert from 'node:assert/strict'
import { run } from '../../src/cli/program.ts'
import { FLAGS } from '../../src/cli/flags.ts'
import { OPTION_NAMES, OPTIONS } from '../../src/option-table.ts'
import { checkTable } from '../options-page.ts'
import { fakeWorld, makeFolder, type FakeWorld } from './fake-world.ts'

async function ask(
  t: Parameters<typeof makeFolder>[0],
  args: readonly string[],
  files = {},
): Promise<FakeWorld & { code: number }> {
  const world = fakeWorld(makeFolder(t, files))
  const { code } = await run(args, world)
  return { ...world, code }
}

test('--version prints the version', async (t) => {
  const { code, out } = await ask(t, ['--version'])
  assert.deepEqual([code, out.join('')], [0, '1.2.3\n'])
})

test('--help is everywhere, and that of serve names every flag with its default', async (t) => {
  for (const args of [['--help'], ['check', '--help'], ['help', 'serve']]) {
    const { code, out, err } = await ask(t, args)
    assert.equal(code, 0)
    assert.match(out.join(''), /Usage: tenantry/)
    assert.deepEqual(err, [])
  }
  const { out } = await ask(t, ['serve', '--help'])
  const text = out.join('').replace(/\s+/g, ' ')
  for (const { long, doc, standard } of FLAGS) {
    assert.ok(text.includes(`${long} `), long)
    assert.ok(text.includes(`${doc} (default: ${standard})`.replace(/\s+/g, ' ')), `${doc} (default: ${standard})`)
  }
  assert.match(text, /30s/)
  assert.match(text, /Exit codes: 0 clean, 1 failed, 2 usage or configuration, 3 could not listen/)
})

test('every scalar option of the runtime is a flag, in kebab-case', () => {
  const names = FLAGS.map(({ name }) => name)
  assert.deepEqual(
    OPTION_NAMES.filter((name) => OPTIONS[name].scalar && !names.includes(name)),
    [],
  )
  const find = (long: string): string | undefined => FLAGS.find((flag) => flag.long === long)?.name
  assert.equal(find('--max-groups-per-pattern'), 'maxGroupsPerPattern')
  assert.equal(find('--application-group'), 'applicationGroup')
  assert.equal(new Set(FLAGS.map(({ long }) => long)).size, FLAGS.length)
})

test('what is wrong on a command line is one line that names it, and exit code 2', async (t) => {
  const files = {
    'tenants/x': '',
    'list.json': '[]',
    'broken.json': '{',
    'broken.mjs': 'throw new Error("oh no\\nmore")',
    'x.toml': '',
    'slip.json': '{"tenants":"t","maxGroup":1}',
    'none.json': '{}',
    'wrong.json': '{"tenants":"t","idleTimeout":"soon"}',
  }
  const cases: [string[], RegExp][] = [
    [['serve', '--max-gropus', '3'], /unknown option '--max-gropus' \(did you mean --max-groups\?\)/],
    [['serve', '--idle-timeot=3'], /--idle-timeot.*did you mean --idle-timeout\?/],
    [['check', '--jsn'], /did you mean --json\?/],
    [['sevre'], /unknown command 'sevre' \(did you mean serve\?\)/],
    [['serve', '--max-groups'], /--max-groups <number>.* argument missing/],
    [['serve', '--max-groups', 'many'], /--max-groups is 'many'; write a whole number, 1 or more/],
    [['serve', '--memory-limit', '1M'], /--memory-limit is '1M'; write whole bytes, .*'64mb'/],
    [['serve', '--port', '65536'], /--port is 65536; write a whole number from 0 to 65535/],
    [['serve', '--label-port', 'x'], /--label-port is 'x'; write accepting, server/],
    [['serve', '--log-level', 'loud'], /--log-level is 'loud'; write trace, debug/],
    [['serve', 'a', 'b'], /too many arguments/],
    [['serve', 'nowhere'], /'nowhere' does not exist/],
    [['serve', 'list.json'], /list\.json is \[\]; write an object/],
    [['serve', 'broken.json'], /broken\.json is not JSON/],
    [['serve', 'broken.mjs'], /broken\.mjs failed while loading: oh no$/m],
    [['serve', 'x.toml'], /x\.toml is no configuration file/],
    [['serve', 'slip.json'], /slip\.json: 'maxGroup' is not a setting \(did you mean maxGroups\?\)/],
    [['serve', 'none.json'], /none\.json names no tenants/],
    [['serve', 'wrong.json'], /wrong\.json: idleTimeout is 'soon'; write/],
    [['serve', '--max-groups', '9', '--max-contexts', '3'], /maxGroups is 9, but maxContexts is 3/],
    [['serve', '--application-group', '%{host}'], /applicationGroup: .*%\{HOST\}/],
  ]
  for (const [args, expected] of cases) {
    const { code, err, out } = await ask(t, args, files)
    const text = err.join('')
    assert.equal(code, 2, `${args.join(' ')}: ${text}`)
    assert.match(text, expected)
    assert.match(text, /^tenantry: .*\n$/, 'one line')
    assert.deepEqual(out, [])
  }
})

test('a wrong environment variable is named as such', async (t) => {
  const world = fakeWorld(makeFolder(t, { 'tenants/x': '' }), { env: { TENANTRY_QUEUE_TIMEOUT: '0' } })
  assert.equal((await run(['check'], world)).code, 2)
  assert.match(world.err.join(''), /TENANTRY_QUEUE_TIMEOUT is '0'; write .*above 0/)
})

test('nothing to serve says where was looked', async (t) => {
  const { code, err } = await ask(t, ['serve'])
  assert.equal(code, 2)
  assert.match(err.join(''), /tenantry\.config\.mjs, .* and tenants\/ are not here/)
})

test('a failure that nobody foresaw keeps its stack and is exit code 1', async (t) => {
  const world = {
    ...fakeWorld(makeFolder(t, { 'tenants/x': '' })),
    createRuntime: () => {
      throw new Error('surprise')
    },
  }
  assert.equal((await run(['serve'], world)).code, 1)
  assert.match(world.err.join(''), /surprise\n\s+at /)
})

test('docs/cli.md lists every flag with its variable and default, and no other', () => {
  const rows = FLAGS.map(({ long, argument, variable, doc, standard }) => [
    `\`${`${long} ${argument}`.trim()}\``,
    `\`${variable}\``,
    doc,
    standard,
  ])
  checkTable('docs/cli.md', ['Flag', 'Variable', 'Meaning', 'Default'], rows)
})
