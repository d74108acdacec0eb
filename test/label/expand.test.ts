import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createLabel } from '../../src/label/expand.ts'
import type { LabelPort, LabelSettings, LabelSpec, RequestFacts } from '../../src/label/request-facts.ts'

const SETTINGS: LabelSettings = { serverName: 'Site.test', labelPort: 'accepting', environment: {} }
const FACTS: RequestFacts = {
  host: 'shop.test', hostPort: 81, acceptingPort: 8080, method: 'GET', url: '/', rawHeaders: ['Host', 'shop.test:81'],
}

function expand(
  spec: LabelSpec, settings: Partial<LabelSettings> = {}, facts: Partial<RequestFacts> = {}, mount = '',
): string {
  return createLabel(spec, { ...SETTINGS, ...settings })({ ...FACTS, ...facts }, mount).shown
}

test('each label says its kind, and only %{RESOURCE} has a group for each mount', () => {
  const kinds = ['', '%{GLOBAL}', '%{SERVER}', '%{HOST}', '%{RESOURCE}', '%{ENV:X}', 'shop', () => 'x'].map((spec) => {
    const { kind, perMount } = createLabel(spec, SETTINGS)
    return [kind, perMount]
  })
  assert.deepEqual(kinds, [
    ['global', false], ['global', false], ['server', false], ['host', false], ['resource', true], ['env', false],
    ['literal', false], ['function', false],
  ])
})

test('names of different kinds never meet, though they are shown alike', () => {
  const specs: readonly LabelSpec[] = ['%{SERVER}', '%{HOST}', '%{ENV:X}', 'same.test', () => 'same.test']
  const names = specs.map((spec) => createLabel(spec, {
    serverName: 'same.test', labelPort: 'server', environment: { X: 'same.test' },
  })({ ...FACTS, host: 'same.test' }, ''))
  assert.deepEqual(new Set(names.map((name) => name.shown)), new Set(['same.test']))
  assert.equal(new Set(names.map((name) => name.key)).size, specs.length)
  assert.equal(createLabel('literal:x', SETTINGS)(FACTS, '').key, 'literal:literal:x')
})

test('%{GLOBAL} is the empty name', () => {
  assert.deepEqual(createLabel('', SETTINGS)(FACTS, '/blog'), { key: 'global:', shown: '' })
  assert.equal(createLabel('%{GLOBAL}', SETTINGS)(FACTS, '').key, 'global:')
})

test('the port of a name follows the policy, and 80 and 443 are left out', () => {
  const table: readonly (readonly [LabelPort, string, number | undefined, number, string])[] = [
    ['accepting', 'site.test', 81, 8080, 'shop.test:8080'],
    ['accepting', 'site.test:90', 81, 8080, 'shop.test:90'],
    ['accepting', 'site.test', 81, 443, 'shop.test'],
    ['server', 'site.test', 81, 8080, 'shop.test'],
    ['server', 'site.test:90', 81, 8080, 'shop.test:90'],
    ['host-or-accepting', 'site.test:90', 81, 8080, 'shop.test:81'],
    ['host-or-accepting', 'site.test:90', undefined, 8080, 'shop.test:8080'],
    ['host', 'site.test:90', 80, 8080, 'shop.test'],
    ['host', 'site.test:90', undefined, 8080, 'shop.test:90'],
    ['host', 'site.test', undefined, 8080, 'shop.test'],
  ]
  for (const [labelPort, serverName, hostPort, acceptingPort, shown] of table) {
    assert.equal(expand('%{HOST}', { labelPort, serverName }, { hostPort, acceptingPort }), shown)
  }
})

test('by default no client can choose a part of a name but an allowed host', () => {
  const port = fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined })
  fc.assert(fc.property(port, fc.webPath(), (hostPort, url) => {
    for (const spec of ['%{SERVER}', '%{HOST}', '%{RESOURCE}']) {
      assert.equal(expand(spec, {}, { hostPort, url }, '/m'), expand(spec, {}, {}, '/m'))
    }
  }))
})

test('the server name keeps its case and brackets, and loses its port', () => {
  assert.equal(expand('%{SERVER}', { serverName: 'MiXeD.test:443' }), 'MiXeD.test')
  assert.equal(expand('%{SERVER}', { serverName: '[::1]:90' }), '[::1]:90')
  assert.equal(expand('%{HOST}', {}, { host: undefined }), 'Site.test:8080')
  assert.equal(expand('%{RESOURCE}', {}, {}, '/blog'), 'Site.test:8080|/blog')
  assert.equal(expand('%{RESOURCE}', {}, {}, ''), 'Site.test:8080|')
})

test('a wrong server name or port policy is an error where a label needs it', () => {
  const wrong = { name: 'TenantryError', code: 'ERR_OPTION_INVALID' }
  assert.throws(() => expand('%{HOST}', { serverName: 'a b' }), { ...wrong, message: /serverName: "a b"/ })
  assert.throws(() => expand('%{SERVER}', { serverName: '' }), { ...wrong, message: /serverName: ""/ })
  const labelPort = 'hosts' as LabelPort
  assert.throws(() => expand('%{HOST}', { labelPort }), { ...wrong, message: /labelPort: "hosts"/ })
})

test('an unknown or misspelt label is an error at once, and the nearest is named', () => {
  const table: Readonly<Record<string, string>> = {
    '%{host}': '%{HOST}', '%{HOST}x': '%{HOST}', '%{HOST': '%{HOST}', '%HOST': '%{HOST}', '%{SERVR}': '%{SERVER}',
    '%{RESOURCES}': '%{RESOURCE}', '%{global}': '%{GLOBAL}', '%{NOPE}': '', '%': '', '%{ENV:}': '%{ENV:NAME}',
    '%{ENV}': '%{ENV:NAME}', '%{env:X}': '%{ENV:NAME}', '%{ENV:X}y': '%{ENV:NAME}', '%{ENV:A B}': '%{ENV:NAME}',
    '%{ENV:%{HOST}}': '%{ENV:NAME}',
  }
  for (const [spec, hint] of Object.entries(table)) {
    assert.throws(() => createLabel(spec, SETTINGS), (error: Error & { code?: string }) => {
      return error.code === 'ERR_OPTION_INVALID' && error.message.includes(`${JSON.stringify(spec)} is unknown`)
        && (hint === '' ? !error.message.includes('nearest') : error.message.includes(`nearest is ${hint}`))
    }, spec)
  }
})

test('a literal is taken as it is, within bounds', () => {
  assert.equal(expand('shop'), 'shop')
  assert.equal(expand('a%{HOST}'), 'a%{HOST}')
  assert.equal(expand('x'.repeat(255)).length, 255)
  assert.throws(() => expand('x'.repeat(256)), { code: 'ERR_OPTION_INVALID', message: /longer than 255/ })
  assert.throws(() => expand('a\nb'), { code: 'ERR_OPTION_INVALID', message: /control character/ })
})

test('%{ENV:NAME} takes the request variable before the environment', () => {
  const environment = { X: 'from-env', Y: 'y' }
  const requestVariables = (facts: RequestFacts) => ({ X: facts.method })
  assert.equal(expand('%{ENV:X}', { environment }), 'from-env')
  assert.equal(expand('%{ENV:X}', { environment, requestVariables }), 'GET')
  assert.equal(expand('%{ENV:Y}', { environment, requestVariables }), 'y')
})

test('a value is never expanded again', () => {
  const name = createLabel('%{ENV:X}', { ...SETTINGS, environment: { X: '%{GLOBAL}' } })(FACTS, '')
  assert.deepEqual(name, { key: 'env:%{GLOBAL}', shown: '%{GLOBAL}' })
  const made = createLabel(() => '%{GLOBAL}', SETTINGS)(FACTS, '')
  assert.deepEqual(made, { key: 'function:%{GLOBAL}', shown: '%{GLOBAL}' })
})

test('a value that cannot be a name is refused when the request comes', () => {
  const refused = { name: 'TenantryError', code: 'ERR_LABEL_INVALID', status: 500 }
  const values: readonly unknown[] = [
    '', 'x'.repeat(256), 'a\0', 'a\r\nb', '\x7f', '\x85', '\u2028', undefined, null, 1, {},
  ]
  for (const value of values) {
    assert.throws(() => expand(() => value as string), refused, String(value))
    const requestVariables = () => ({ X: value as string })
    assert.throws(() => expand('%{ENV:X}', { requestVariables }), refused, String(value))
  }
  assert.throws(() => expand('%{ENV:toString}'), { ...refused, message: /%\{ENV:toString\} gave a function, not text/ })
  assert.throws(() => expand('%{ENV:NONE}'), { ...refused, message: /gave nothing/ })
  const cause = new Error('mine')
  const broken = (): never => {
    throw cause
  }
  assert.throws(() => expand(broken), { ...refused, cause })
  assert.throws(() => expand('%{ENV:X}', { requestVariables: broken }), { ...refused, cause })
})

test('no value of a request reaches %{GLOBAL}, and what passes is passed unchanged', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (value) => {
    for (const spec of ['%{ENV:X}', () => value]) {
      const label = createLabel(spec, { ...SETTINGS, requestVariables: () => ({ X: value }) })
      try {
        const name = label(FACTS, '')
        assert.equal(name.shown, value)
        assert.ok(value !== '' && name.key !== 'global:')
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ERR_LABEL_INVALID')
      }
    }
  }))
})
