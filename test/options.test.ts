import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { OPTION_NAMES, OPTIONS } from '../src/option-table.ts'
import { resolveOptions, type ResolvedOptions, type RuntimeOptions } from '../src/options.ts'
import type { DefaultCaps } from '../src/machine.ts'
import { checkTable, optionRows, processGroupRows, typeComments } from './options-page.ts'

const MB = 1024 ** 2
const CAPS: DefaultCaps = { maxContexts: 100, memoryLimit: 256 * MB, maxStarting: 3, maxStarts: 120, maxMemory: 800 * MB, maxConnections: 5000 }
const TENANTS = { 'a.example.test': '/srv/a.mjs' }

function resolve(options: object): ResolvedOptions {
  return resolveOptions({ tenants: TENANTS, ...options }, CAPS)
}

function refusal(options: object): string {
  try {
    resolve(options)
  } catch (error) {
    assert.equal((error as { code: string }).code, 'ERR_OPTION_INVALID')
    return (error as Error).message
  }
  return assert.fail(`accepted: ${JSON.stringify(options)}`)
}

test('defaults are filled in, and the result is frozen', () => {
  const options = resolve({})
  assert.ok(Object.isFrozen(options))
  assert.deepEqual(
    { ...options },
    {
      tenants: TENANTS,
      applicationGroup: '%{HOST}',
      processGroup: '',
      processGroups: {},
      allowedHosts: undefined,
      serverName: 'localhost',
      labelPort: 'accepting',
      lane: 'auto',
      trustProxy: false,
      requestVariables: undefined,
      dispatch: undefined,
      access: undefined,
      maxContexts: 100,
      maxGroups: 90,
      maxGroupsPerPattern: 45,
      maxStarts: 120,
      maxStarting: 3,
      spares: 1,
      maxZombies: 2,
      maxMemory: 800 * MB,
      maxConnections: 5000,
      maxInFlight: 1024,
      maxQueue: 256,
      startupTimeout: 30_000,
      queueTimeout: 15_000,
      handlerTimeout: 60_000,
      idleTimeout: 600_000,
      drainTimeout: 10_000,
      trimTimeout: 5000, terminateTimeout: 2000,
      deadlockTimeout: 60_000,
      memoryLimit: 256 * MB,
      cpuTimeLimit: 0,
      maxRequests: 0,
      maxAge: 0,
      headerTimeout: 15_000,
      headerMinRate: 500,
      headerMaxTimeout: 30_000,
      bodyTimeout: 15_000,
      bodyMinRate: 500,
      bodyMaxTimeout: 0,
      sendTimeout: 60_000,
      bodyLimit: 0,
      bufferLimit: 32 * MB,
      tenantNice: process.platform === 'linux' ? 5 : 0,
      logger: { level: 'info' },
      signal: undefined,
    },
  )
})

test('undefined means the default, and text becomes milliseconds and bytes', () => {
  const options = resolve({
    idleTimeout: undefined,
    handlerTimeout: '2s',
    memoryLimit: '1gb',
    bodyLimit: 10,
    maxAge: '1d',
  })
  assert.deepEqual(
    [options.idleTimeout, options.handlerTimeout, options.memoryLimit, options.bodyLimit, options.maxAge],
    [600_000, 2000, 1024 * MB, 10, 86_400_000],
  )
})

test('the caps that were not given follow those that were', () => {
  const { maxGroups, maxGroupsPerPattern, maxStarting } = resolve({ maxContexts: 10 })
  assert.deepEqual([maxGroups, maxGroupsPerPattern, maxStarting], [9, 5, 3])
  const tiny = resolve({ maxContexts: 1 })
  assert.deepEqual([tiny.maxGroups, tiny.maxGroupsPerPattern, tiny.maxStarting], [1, 1, 1])
})

test('a list that the caller changes afterwards changes nothing', () => {
  const allowedHosts = ['a.example.test']
  const options = resolve({ allowedHosts })
  allowedHosts.push('evil.test')
  assert.deepEqual(options.allowedHosts, ['a.example.test'])
  assert.ok(Object.isFrozen(options.allowedHosts))
})

test('an unknown option is refused and the nearest one named', () => {
  assert.equal(refusal({ maxGroup: 3 }), "'maxGroup' is not an option (did you mean maxGroups?)")
  assert.equal(refusal({ colour: 3 }), "'colour' is not an option")
  assert.match(refusal({ toString: 1 }), /'toString' is not an option/)
})

test('a wrong value names the option, the value and what is accepted', () => {
  assert.equal(refusal({ maxGroups: 'many' }), "maxGroups is 'many'; write a whole number, 1 or more")
  assert.match(
    refusal({ idleTimeout: '10x' }),
    /^idleTimeout is '10x'; write whole milliseconds, or text such as .*0 is off$/,
  )
  assert.match(refusal({ memoryLimit: '1M' }), /^memoryLimit is '1M'; write whole bytes, .*at least 16mb/)
  assert.match(
    refusal({ labelPort: 'mine' }),
    /^labelPort is 'mine'; write accepting, server, host-or-accepting or host$/,
  )
})

test('every option refuses what it does not accept', () => {
  const wrong: Record<string, unknown[]> = {
    tenants: ['', 5, null, [], new Date()],
    applicationGroup: [5, null, 'x'.repeat(256), 'a\nb'],
    processGroup: [false],
    processGroups: [[], 'pool', null, 5, new Map()],
    allowedHosts: [[], false, 'a.example.test', [''], ['a b'], [5]],
    serverName: ['', 'a b', 5],
    labelPort: ['Host', 1],
    trustProxy: [0, 1.5, '', [5], {}],
    requestVariables: [{}, 'x'],
    logger: [true, null, 'info', []],
    signal: [{}, null],
  }
  for (const name of OPTION_NAMES) {
    const { kind } = OPTIONS[name]
    const values = wrong[name] ?? [-1, 1.5, NaN, Infinity, null, {}, '', 'x', true, ...(kind === 'count' ? ['5'] : [])]
    for (const value of values)
      assert.match(refusal({ [name]: value }), new RegExp(`^${name} (is|are) `), `${name}: ${String(value)}`)
  }
})

test('a limit that must end something cannot be 0, and one that may be off can', () => {
  for (const name of [
    'startupTimeout',
    'queueTimeout',
    'terminateTimeout',
    'maxGroups',
    'maxContexts',
    'maxStarts',
    'maxInFlight',
  ]) {
    assert.match(refusal({ [name]: 0 }), new RegExp(`^${name} is 0`))
  }
  for (const name of [
    'handlerTimeout',
    'idleTimeout',
    'drainTimeout',
    'deadlockTimeout',
    'memoryLimit',
    'maxRequests',
    'maxAge',
    'bodyLimit',
    'bufferLimit',
    'maxQueue',
  ]) {
    assert.equal(resolve({ [name]: 0 })[name as 'maxAge'], 0)
  }
  assert.match(refusal({ memoryLimit: '1mb' }), /at least 16mb/)
})

test('options that contradict each other are an error, not a silent repair', () => {
  assert.equal(
    refusal({ maxGroups: 20, maxContexts: 10 }),
    'maxGroups is 20, but maxContexts is 10; lower maxGroups or raise maxContexts',
  )
  assert.match(refusal({ maxGroups: 200 }), /maxContexts is 100 \(its default here\)/)
  assert.match(refusal({ maxGroupsPerPattern: 20, maxGroups: 10 }), /^maxGroupsPerPattern is 20, but maxGroups is 10;/)
  assert.match(refusal({ maxStarting: 20, maxContexts: 10 }), /^maxStarting is 20/)
})

test('a function source must say which hosts are allowed', () => {
  assert.match(refusal({ tenants: () => undefined }), /^allowedHosts is missing/)
  assert.equal(resolve({ tenants: () => undefined, allowedHosts: true }).allowedHosts, true)
})

test('a label, a host, a name or a proxy that could not be used is refused at once, by its option', () => {
  assert.match(refusal({ applicationGroup: '%{host}' }), /^applicationGroup: .*%\{host\}.*%\{HOST\}/)
  assert.match(refusal({ processGroup: '%{NOPE}' }), /^processGroup: .*%\{NOPE\}/)
  assert.match(refusal({ serverName: 'a:b:c' }), /^serverName.*a:b:c/)
  assert.match(refusal({ allowedHosts: ['a..b'] }), /^allowedHosts.*a\.\.b/)
  assert.match(refusal({ trustProxy: '300.1.1.1' }), /^trustProxy.*300\.1\.1\.1/)
  assert.equal(resolve({ processGroup: 'daemon' }).processGroup, 'daemon')
})

test('options that are no object, or have no tenants, are refused', () => {
  for (const wrong of [undefined, null, 5, 'x', [], {}]) {
    assert.throws(() => resolveOptions(wrong as RuntimeOptions, CAPS), {
      code: 'ERR_OPTION_INVALID',
      message: /tenants/,
    })
  }
})

test('docs/options.md says what the table says, and nothing else', () => {
  checkTable('docs/options.md', ['Option', 'Meaning', 'Accepts', 'Default', 'Why'], optionRows())
})

test('docs/process-groups.md lists every option of a process group as the table says it, and nothing else', () => {
  checkTable('docs/process-groups.md', ['Option', 'Meaning', 'Accepts', 'Default', 'Why'], processGroupRows())
})

test('the sentence at the type of an option is the one of the table', () => {
  const comments = typeComments(readFileSync('src/options.ts', 'utf8'))
  assert.deepEqual(
    Object.fromEntries(comments),
    Object.fromEntries(OPTION_NAMES.map((name) => [name, OPTIONS[name].doc])),
  )
})

test('a read deadline has a maximum only where something can be extended, and never one below it', () => {
  for (const stage of ['header', 'body'] as const) {
    const [timeout, most, rate] = [`${stage}Timeout`, `${stage}MaxTimeout`, `${stage}MinRate`] as const
    assert.equal(refusal({ [most]: '1m', [rate]: 0 }), `${most} is 1m, but ${rate} is 0, so that nothing would be extended; set ${rate} or leave ${most} out`)
    assert.equal(refusal({ [most]: '1m', [timeout]: 0 }), `${most} is 1m, but ${timeout} is 0, so that nothing would be extended; set ${timeout} or leave ${most} out`)
    assert.equal(refusal({ [most]: '5s' }), `${most} is 5s, but ${timeout} is 15s; lower ${timeout} or raise ${most}`)
    // What was not written follows.
    assert.equal(resolve({ [rate]: 0 })[most], 0)
    assert.equal(resolve({ [timeout]: 0 })[most], 0)
  }
  assert.equal(resolve({ headerTimeout: '1m' }).headerMaxTimeout, 120_000)
})

test('a process group is refused by its name, its option and its value', () => {
  const wrong = [
    [{ '': {} }, /^processGroups has the name ''/],
    [{ '%{HOST}': {} }, /^processGroups has the name '%\{HOST\}'/],
    [{ pool: 5 }, /^processGroups\['pool'\] is 5; write an object/],
    [{ pool: { procesess: 2 } }, /^processGroups\['pool'\] has the unknown option 'procesess'.*processes/],
    [{ pool: { processes: 0 } }, /^processGroups\['pool'\]\.processes is 0; write/],
    [{ pool: { umask: '999' } }, /^processGroups\['pool'\]\.umask is '999'/],
    [{ pool: { memoryLimit: '10M!' } }, /^processGroups\['pool'\]\.memoryLimit is '10M!'/],
    [{ pool: { env: { A: 1 } } }, /^processGroups\['pool'\]\.env is /],
    [{ pool: { workingDirectory: '/no/such/folder' } }, /^processGroups\['pool'\]\.workingDirectory is '\/no\/such\/folder', but there is no folder/],
    [{ pool: { user: 'no-such-user' } }, /^processGroups\['pool'\]\.user: there is no user 'no-such-user'/],
  ] as const
  for (const [processGroups, message] of wrong) assert.match(refusal({ processGroups }), message)
})

test('a process group has its defaults filled in, durations in milliseconds and sizes in bytes', () => {
  const { processGroups } = resolveOptions({ tenants: 'x', processGroups: { pool: { idleTimeout: '1m', memoryLimit: '1gb', umask: '027' } } }, CAPS)
  assert.deepEqual(processGroups, {
    pool: {
      command: { uid: undefined, gid: undefined, umask: 0o27, env: {}, execArgv: [], permission: undefined, workingDirectory: undefined },
      limits: { processes: 1, maxRequests: 0, maxAge: 0, idleTimeout: 60_000, cpuTimeLimit: 0, memoryLimit: 1024 * MB },
      startAhead: false,
      maxContexts: undefined,
    },
  })
  assert.ok(Object.isFrozen(processGroups) && Object.isFrozen(processGroups['pool']))
})
