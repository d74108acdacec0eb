import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { readFacts, targetPath, type RequestHead } from '../../src/label/head.ts'
import { TenantryError } from '../../src/errors.ts'

const HTTP11: RequestHead = {
  method: 'GET', url: '/', rawHeaders: ['Host', 'shop.test'],
  httpVersionMajor: 1, httpVersionMinor: 1, acceptingPort: 8080,
}
const HTTP10: RequestHead = { ...HTTP11, httpVersionMinor: 0 }
const HTTP2: RequestHead = { ...HTTP11, rawHeaders: [], httpVersionMajor: 2, httpVersionMinor: 0 }

function hostOf(head: RequestHead): readonly [string | undefined, number | undefined] {
  const { host, hostPort } = readFacts(head)
  return [host, hostPort]
}

function refused(head: RequestHead, message: RegExp): void {
  assert.throws(() => hostOf(head), { name: 'TenantryError', code: 'ERR_HOST_INVALID', status: 400, message })
}

test('the facts carry the head as it came, with a canonical host', () => {
  const rawHeaders = ['Accept', '*/*', 'hOsT', 'SHOP.test.:81', 'hosts', 'x', 'Xost', 'y']
  const facts = readFacts({ ...HTTP11, method: 'PUT', url: '/a?b', rawHeaders })
  const checked = { host: 'shop.test', hostPort: 81, acceptingPort: 8080 }
  assert.deepEqual(facts, { ...checked, method: 'PUT', url: '/a?b', rawHeaders })
  assert.equal(facts.rawHeaders, rawHeaders)
})

test('HTTP/1.1 needs exactly one well-formed Host', () => {
  refused({ ...HTTP11, rawHeaders: [] }, /needs a Host header/)
  refused({ ...HTTP11, rawHeaders: ['Host', ''] }, /"" is not a valid host/)
  refused({ ...HTTP11, rawHeaders: ['Host', 'a b'] }, /the Host header "a b" is not a valid host/)
  refused({ ...HTTP11, rawHeaders: ['Host', 'a.test', 'Accept', '*', 'HOST', 'a.test'] }, /more than one Host/)
  refused({ ...HTTP11, rawHeaders: ['Host', '', 'Host', 'a.test'] }, /more than one Host/)
})

test('HTTP/1.0 may do without a Host, but not with a wrong one or two', () => {
  assert.deepEqual(hostOf({ ...HTTP10, rawHeaders: [] }), [undefined, undefined])
  assert.deepEqual(hostOf({ ...HTTP10, rawHeaders: ['Host', ''] }), [undefined, undefined])
  assert.deepEqual(hostOf({ ...HTTP10, rawHeaders: ['Host', 'A.test:9'] }), ['a.test', 9])
  refused({ ...HTTP10, rawHeaders: ['Host', 'a/b'] }, /not a valid host/)
  refused({ ...HTTP10, rawHeaders: ['Host', '', 'Host', ''] }, /more than one Host/)
})

test('the host of an absolute-form target wins, and a wrong Host beside it is still refused', () => {
  assert.deepEqual(hostOf({ ...HTTP11, url: 'http://ABS.test:81/x' }), ['abs.test', 81])
  const beside = ['Host', 'shop.test:9']
  assert.deepEqual(hostOf({ ...HTTP11, url: 'HTTP://abs.test', rawHeaders: beside }), ['abs.test', undefined])
  assert.deepEqual(hostOf({ ...HTTP11, url: 'http://abs.test?q' }), ['abs.test', undefined])
  refused({ ...HTTP11, url: 'http://abs.test/', rawHeaders: ['Host', 'a b'] }, /Host header/)
  refused({ ...HTTP11, url: 'http://abs.test/', rawHeaders: [] }, /needs a Host/)
  const wrong = ['http://u@abs.test/', 'http:///x', 'http://', 'http://a\\b/', 'http://a:x/', 'https://u@abs.test/']
  for (const url of wrong) {
    refused({ ...HTTP11, url }, /host in the request target/)
  }
})

test('a target with another scheme than the connection leaves the choice to Host', () => {
  assert.deepEqual(hostOf({ ...HTTP11, url: 'https://abs.test/' }), ['shop.test', undefined])
  assert.deepEqual(hostOf({ ...HTTP11, url: 'https://abs.test/', encrypted: true }), ['abs.test', undefined])
  assert.deepEqual(hostOf({ ...HTTP11, url: 'http://abs.test/', encrypted: true }), ['shop.test', undefined])
})

test('a target that is neither a path nor a URL is refused', () => {
  assert.deepEqual(hostOf({ ...HTTP11, method: 'OPTIONS', url: '*' }), ['shop.test', undefined])
  for (const url of ['', 'shop.test:443', 'x', '**', '://a.test/', 'ht tp://a.test/', `${'a'.repeat(33)}://a.test/`]) {
    refused({ ...HTTP11, url }, /neither a path nor a URL/)
  }
})

test('HTTP/2 needs :authority or Host, and the two never contradict each other', () => {
  assert.deepEqual(hostOf({ ...HTTP2, authority: 'Shop.test:444' }), ['shop.test', 444])
  assert.deepEqual(hostOf({ ...HTTP2, rawHeaders: ['host', 'Shop.test'] }), ['shop.test', undefined])
  const alike = { authority: 'SHOP.test', rawHeaders: ['host', 'shop.test.'] }
  assert.deepEqual(hostOf({ ...HTTP2, ...alike }), ['shop.test', undefined])
  refused(HTTP2, /neither :authority nor a Host/)
  refused({ ...HTTP2, authority: 'shop.test', rawHeaders: ['host', 'evil.test'] }, /differ/)
  refused({ ...HTTP2, authority: 'shop.test', rawHeaders: ['host', 'shop.test:81'] }, /differ/)
  refused({ ...HTTP2, authority: 'shop.test', rawHeaders: ['host', 'a b'] }, /Host header "a b"/)
  refused({ ...HTTP2, authority: 'u@shop.test' }, /:authority "u@shop.test" is not a valid host/)
  refused({ ...HTTP2, authority: '' }, /:authority/)
  refused({ ...HTTP2, authority: 'shop.test', rawHeaders: ['host', 'shop.test', 'host', 'shop.test'] }, /more than one/)
  refused({ ...HTTP2, authority: 'shop.test', url: 'http://other.test/' }, /neither a path nor a URL/)
})

test('no head brings anything but facts or a refusal, and a message repeats little of it', () => {
  const likely = fc.constantFrom('a.test', '[::1]:9', '*', '/x', 'http://b.test', '')
  const text = fc.oneof(fc.string({ unit: 'binary' }), likely)
  const field = fc.tuple(fc.constantFrom('Host', 'host', 'Accept'), text)
  const head = fc.record({
    method: text,
    url: text,
    rawHeaders: fc.array(field, { maxLength: 3 }).map((all) => all.flat()),
    httpVersionMajor: fc.constantFrom(0, 1, 2),
    httpVersionMinor: fc.constantFrom(0, 1),
    acceptingPort: fc.constant(80),
    authority: fc.option(text, { nil: undefined }),
  })
  fc.assert(fc.property(head, (any) => {
    try {
      readFacts(any)
    } catch (error) {
      assert.ok(error instanceof TenantryError && error.code === 'ERR_HOST_INVALID')
    }
  }), { numRuns: 1000 })
  const long = `\n${'ä'.repeat(100_000)}`
  assert.throws(() => hostOf({ ...HTTP11, rawHeaders: ['Host', long] }), (error: Error) => {
    return error.message.length < 200 && !error.message.includes('\n')
  })
})

test('the path of a target is what stands between its host and its query', () => {
  const table: Readonly<Record<string, string>> = {
    '/': '/',
    '/blog/x': '/blog/x',
    '/blog?x=/y': '/blog',
    '/blog#x': '/blog',
    '?x': '/',
    '*': '/',
    '': '/',
    'http://a.test': '/',
    'http://a.test?x=/y': '/',
    'http://a.test/blog/x?y#z': '/blog/x',
    'https://u@a.test:9/b': '/b',
    '//evil.test/x': '//evil.test/x',
    '/http://evil.test/x': '/http://evil.test/x',
    '/a/../b/./c//d': '/a/../b/./c//d',
    '/%62log/%2e%2e': '/%62log/%2e%2e',
    '/a\\b': '/a\\b',
    'shop.test:443': '/',
    'blog/x': '/',
  }
  for (const [url, path] of Object.entries(table)) assert.equal(targetPath(url), path, url)
})

test('the path of any text starts with a slash, has no query, and is a part of the text', () => {
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl(), fc.webPath()), (url) => {
    const path = targetPath(url)
    assert.ok(path.startsWith('/') && !/[?#]/.test(path))
    assert.ok(path === '/' || url.includes(path))
    assert.equal(targetPath(path), path)
  }))
})
