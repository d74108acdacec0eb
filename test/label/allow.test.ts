import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createAllowList } from '../../src/label/allow.ts'

test('an exact host comes before the longest wildcard, a wildcard before _default', () => {
  const list = createAllowList(['*.test', 'a.b.test', '_default', '*.b.test'])
  assert.equal(list.match('a.b.test'), 'a.b.test')
  assert.equal(list.match('c.b.test'), '*.b.test')
  assert.equal(list.match('x.y.b.test'), '*.b.test')
  assert.equal(list.match('b.test'), '*.test')
  assert.equal(list.match('test'), '_default')
  assert.equal(list.match('xb.test'), '*.test')
  assert.equal(list.match('[::1]'), '_default')
})

test('a wildcard allows any depth below its domain, but neither the domain nor a name that only ends alike', () => {
  const list = createAllowList(['*.sites.test'])
  assert.equal(list.match('a.sites.test'), '*.sites.test')
  assert.equal(list.match('a.b.c.d.sites.test'), '*.sites.test')
  assert.equal(list.match('sites.test'), undefined)
  assert.equal(list.match('evilsites.test'), undefined)
  assert.equal(list.match('a.sites.test.evil.test'), undefined)
  assert.equal(list.match('test'), undefined)
})

test('an empty list allows nothing, and true allows everything', () => {
  assert.equal(createAllowList([]).match('a.test'), undefined)
  assert.equal(createAllowList(true).match('a.test'), '*')
  assert.equal(createAllowList(['*']).match('[::1]'), '*')
  assert.equal(createAllowList(['*', '_default']).match('a.test'), '_default')
  assert.equal(createAllowList(['_default', '*']).match('a.test'), '_default')
})

test('a rule is made canonical', () => {
  const list = createAllowList(['Shop.TEST.', '*.MÜNCHEN.test', '[0:0:0::1]'])
  assert.equal(list.match('shop.test'), 'shop.test')
  assert.equal(list.match('a.xn--mnchen-3ya.test'), '*.xn--mnchen-3ya.test')
  assert.equal(list.match('[::1]'), '[::1]')
})

test('a wrong rule is an error that names the option, the rule and what is accepted', () => {
  for (const rule of ['', 'http://a.test', 'a.test:80', '*.', 'a.*', '*.10.0.0.1', '_other', 'a b']) {
    assert.throws(() => createAllowList(['ok.test', rule]), (error: Error & { code?: string }) => {
      return error.code === 'ERR_OPTION_INVALID' && error.message.startsWith(`allowedHosts: ${JSON.stringify(rule)} `)
    }, rule)
  }
})

test('the list agrees with a naive reading of its rules', () => {
  const labels = fc.array(fc.constantFrom('a', 'b', 'cc'), { minLength: 1, maxLength: 5 })
  const host = labels.map((all) => all.join('.'))
  const rule = fc.oneof(host, host.map((domain) => `*.${domain}`), fc.constantFrom('_default', '*'))
  fc.assert(fc.property(fc.array(rule, { maxLength: 8 }), host, (rules, asked) => {
    const fitting = rules.filter((one) => one.startsWith('*.') && asked.endsWith(one.slice(1)))
    const longest = fitting.toSorted((one, other) => other.length - one.length)[0]
    const expected = [asked, '_default', '*'].filter((one) => rules.includes(one))
    if (longest !== undefined) expected.splice(expected[0] === asked ? 1 : 0, 0, longest)
    assert.equal(createAllowList(rules).match(asked), expected[0])
  }), { numRuns: 2000 })
})

test('a list of a million hosts answers for each kind of host', () => {
  const rules = Array.from({ length: 1_000_000 }, (_, index) => {
    return index % 10 === 0 ? `*.w${index}.test` : `h${index}.test`
  })
  const list = createAllowList(rules)
  assert.equal(list.match('h999999.test'), 'h999999.test')
  assert.equal(list.match('h1.test'), 'h1.test')
  assert.equal(list.match('a.b.w999990.test'), '*.w999990.test')
  assert.equal(list.match('w999990.test'), undefined)
  assert.equal(list.match('h1000000.test'), undefined)
  assert.equal(list.match(`${'a.'.repeat(120)}w0.test`), '*.w0.test')
})
