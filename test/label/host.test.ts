import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { canonicalHost, canonicalPattern, parseAuthority } from '../../src/label/host.ts'

function written({ host, port }: { host: string; port: number | undefined }): string {
  return port === undefined ? host : `${host}:${port}`
}

/** Text that is a host, nearly one, or not at all: letters alone would hardly ever meet the edges. */
const hostText = fc.oneof(
  fc.string({ unit: fc.constantFrom(...Array.from('aZ09-_.:[]@/%* xf')), maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
  fc.tuple(fc.domain(), fc.integer({ min: -1, max: 70_000 })).map(([name, port]) => `${name}:${port}`),
  fc.tuple(fc.ipV6(), fc.nat(70_000)).map(([address, port]) => `[${address}]:${port}`),
)

test('every text is read without an error, and what comes out is canonical', () => {
  let read = 0
  fc.assert(fc.property(hostText, (text) => {
    const authority = parseAuthority(text)
    if (authority === undefined) return
    read++
    const { host, port } = authority
    assert.match(host, /^(?:[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*|\[[0-9a-f:]+\])$/)
    assert.ok(host.length <= 253)
    assert.ok(port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65535))
    // One more is `[1::3:4:5:6:7:8]`: RFC 5952 writes a single zero out.
    assert.ok(written(authority).length <= text.length + 1)
    assert.deepEqual(parseAuthority(written(authority)), authority)
  }), { numRuns: 3000 })
  assert.ok(read > 300, `only ${read} of the texts were hosts`)
})

test('upper and lower case name the same host', () => {
  fc.assert(fc.property(hostText, (text) => {
    const ascii = text.replace(/[^\0-\x7f]/g, '')
    assert.deepEqual(parseAuthority(ascii.toUpperCase()), parseAuthority(ascii.toLowerCase()))
  }))
})

test('an IPv6 address is the same host however it is written', () => {
  const eight = fc.array(fc.constantFrom(0, 0, 1, 0xabcd, 0xffff), { minLength: 8, maxLength: 8 })
  fc.assert(fc.property(eight, (groups) => {
    const long = groups.map((group) => group.toString(16).padStart(4, '0')).join(':')
    const short = new URL(`http://[${long}]`).hostname
    assert.equal(parseAuthority(`[${long}]`)?.host, short)
    assert.equal(parseAuthority(short)?.host, short)
  }))
})

test('a name may be followed by one dot and a port', () => {
  assert.deepEqual(parseAuthority('Shop.Example.Test.:8080'), { host: 'shop.example.test', port: 8080 })
  assert.deepEqual(parseAuthority('127.0.0.1.'), { host: '127.0.0.1', port: undefined })
  assert.deepEqual(parseAuthority('localhost'), { host: 'localhost', port: undefined })
  assert.deepEqual(parseAuthority('3d-printer:9'), { host: '3d-printer', port: 9 })
  assert.deepEqual(parseAuthority('[::FFFF:127.0.0.1]:1'), { host: '[::ffff:7f00:1]', port: 1 })
})

test('what is no host is refused', () => {
  const wrong = [
    '', '.', '..', 'a..b', '.a', 'a.:', ':', ':80', 'a:', 'a:0', 'a:080', 'a:65536', 'a:99999', 'a:+1', 'a:1:2', 'a:1 ',
    ' a', 'a b', 'a,b', 'a/b', 'a@b', 'a?b', 'a#b', 'a%2eb', '*.a', '*', '_default', '-a',
    'a.1b', 'a._b', 'a.-b', 'ä.test',
    '1', '0x7f', '0x7F000001', '127.1', '127.0.0.01', '256.0.0.1', '1.2.3.4.5', '0x7f.0.0.1', '127.0.0.0x1',
    '::1', '[]', '[::1', '[::1]x', '[::1]:', '[::1]:0', '[1::2::3]', '[fe80::1%lo]', '[fe80::1%25lo]',
    '[v1.a]', '[a.test]', '[1:2:3:4:5:6:7:8:9]',
    '[12345::]', '[::127.0.0.01]', '[[::1]]', 'a\0', 'a\u212a', '\u0131.test',
  ]
  assert.deepEqual(wrong.filter((text) => parseAuthority(text) !== undefined), [])
})

test('a name of 253 characters is read and one of 254 is not; a label of 63 and one of 64 likewise', () => {
  const part = 'a'.repeat(49)
  const longest = `${part}.${part}.${part}.${part}.${part}.abc`
  assert.equal(longest.length, 253)
  assert.equal(parseAuthority(`${longest}.:65535`)?.host, longest)
  assert.equal(parseAuthority(`${longest}d`), undefined)
  assert.equal(parseAuthority(`${'a'.repeat(63)}.test`)?.host.length, 68)
  assert.equal(parseAuthority(`${'a'.repeat(64)}.test`), undefined)
  assert.equal(parseAuthority(`test.${'a'.repeat(64)}`), undefined)
})

test('an over-long text is refused before it is looked at', () => {
  const text = `${'a'.repeat(60)}.`.repeat(500_000)
  let looked = false
  const spy = new Proxy(Object(text) as object, {
    get(target, name) {
      if (name !== 'length') looked = true
      return Reflect.get(target, name) as unknown
    },
  })
  assert.equal(parseAuthority(spy as unknown as string), undefined)
  assert.equal(looked, false)
})

test('a name of the configuration becomes canonical, an international one included', () => {
  assert.equal(canonicalHost('Shop.Example.Test.'), 'shop.example.test')
  assert.equal(canonicalHost('MÜNCHEN.example.test'), 'xn--mnchen-3ya.example.test')
  assert.equal(canonicalHost('bücher。example'), 'xn--bcher-kva.example')
  assert.equal(canonicalHost('[0:0::1]'), '[::1]')
  assert.equal(canonicalPattern('*.MÜNCHEN.test.'), '*.xn--mnchen-3ya.test')
  assert.equal(canonicalPattern('_default'), '_default')
  assert.equal(canonicalPattern('*'), '*')
  assert.equal(canonicalPattern('Shop.Test'), 'shop.test')
})

test('a wrong name of the configuration is an error that says what is wrong with it', () => {
  const table: readonly (readonly [string, RegExp])[] = [
    ['', /"" is empty/],
    ['http://shop.test', /is a URL/],
    ['shop.test/blog', /has a path/],
    ['me@shop.test', /has a user name/],
    ['shop .test', /has a space/],
    ['shop.*', /only "\*\.domain" and "\*" are wildcards/],
    ['.shop.test', /for every host below it write "\*\.shop\.test"/],
    ['[::1]:80', /IPv6 address in brackets, without a zone and without a port/],
    ['::1', /write it in brackets/],
    ['shop.test:80', /has a port/],
    ['shop..test', /two dots in a row/],
    ['shop!.test', /a character that no host has: "!"/],
    ['ü!.test', /not a name that DNS can carry/],
    ['ü／evil.test', /not a name that DNS can carry/],
    [`${'a'.repeat(64)}.test`, /a part of more than 63 characters/],
    ['a.'.repeat(130), /longer than 253 characters/],
    ['127.1', /neither an IPv4 address nor a name whose last part starts with a letter/],
  ]
  for (const [text, message] of table) {
    assert.throws(() => canonicalHost(text), { code: 'ERR_OPTION_INVALID', message }, text)
  }
  for (const text of ['*.', '*.*.test', '*.127.0.0.1', '*.[::1]', '*a.test', '**', '*.shop.test:80', '_other']) {
    assert.throws(() => canonicalPattern(text), { code: 'ERR_OPTION_INVALID' }, text)
  }
})

test('a name of the configuration that is accepted is a host that a request can have', () => {
  fc.assert(fc.property(fc.oneof(hostText, fc.string({ unit: 'grapheme', maxLength: 30 })), (text) => {
    let host: string
    try {
      host = canonicalHost(text)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ERR_OPTION_INVALID')
      return
    }
    assert.deepEqual(parseAuthority(host), { host, port: undefined })
  }), { numRuns: 1000 })
})
