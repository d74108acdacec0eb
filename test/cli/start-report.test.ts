import { test } from 'node:test'
import assert from 'node:assert/strict'
import { curlLine, startReport, urlOf } from '../../src/cli/start-report.ts'
import { resolveOptions } from '../../src/options.ts'

const facts = {
  version: '1.0.0',
  url: 'http://127.0.0.1:8080',
  patterns: ['express.example.test', '*.sites.example.test', '_default'],
  problems: [],
  obstacle: null,
  options: resolveOptions({ tenants: 'x', maxContexts: 20, memoryLimit: '128mb', maxStarts: 60, maxStarting: 2 }),
}

test('the lines to try name a host that each tenant answers', () => {
  const report = startReport(facts)
  for (const host of ['express.example.test', 'any.sites.example.test', 'any.example.test']) {
    assert.ok(report.includes(`    curl -H 'Host: ${host}' http://127.0.0.1:8080/\n`), report)
  }
  assert.match(
    report,
    /caps {6}20 contexts \(128mb each\), 18 groups \(9 per wildcard\), 60 starts a minute \(2 at once\)\n/,
  )
  assert.match(report, /idle {6}ends after 10m\n/)
})

test('the report says which lane requests take, and why it is not the other one', () => {
  assert.match(startReport(facts), /lane {6}hand-off where a connection allows it, else relay\n/)
  assert.match(startReport({ ...facts, obstacle: 'it is Tuesday' }), /lane {6}relay: it is Tuesday\n/)
})

test('daemons and what they may hold are reported, and an idle group that never ends', () => {
  const processGroups = { shop: { processes: 2, maxContexts: 7 }, rest: {} }
  const report = startReport({ ...facts, options: resolveOptions({ tenants: 'x', maxContexts: 20, idleTimeout: 0, processGroups }) })
  assert.match(report, /daemons {3}2 of the process group 'shop', at most 7 contexts each\n/)
  assert.match(report, /daemons {3}1 of the process group 'rest', at most 20 contexts each\n/)
  assert.match(report, /idle {6}never ends\n/)
})

test('a host below localhost is a url that a browser opens, where it reaches this server', () => {
  assert.equal(curlLine('shop.localhost', 'http://127.0.0.1:8080'), 'curl http://shop.localhost:8080/')
  assert.equal(curlLine('*.localhost', 'http://127.0.0.1:8080'), 'curl http://any.localhost:8080/')
  assert.equal(curlLine('shop.localhost', 'http://10.0.0.1:8080'), "curl -H 'Host: shop.localhost' http://10.0.0.1:8080/")
  assert.equal(curlLine('notlocalhost', 'http://127.0.0.1:8080'), "curl -H 'Host: notlocalhost' http://127.0.0.1:8080/")
})

test('over TLS the line asks for the name and not for an address', () => {
  assert.equal(urlOf('::', 8443, true), 'https://[::1]:8443')
  const line = "curl --resolve 'shop.example.test:8443:127.0.0.1' https://shop.example.test:8443/"
  assert.equal(curlLine('shop.example.test', 'https://127.0.0.1:8443'), line)
  assert.equal(curlLine('shop.localhost', 'https://127.0.0.1:8443'), 'curl https://shop.localhost:8443/')
})

test('thousands of tenants and problems do not make a long report', () => {
  const many = Array.from({ length: 5000 }, (_, i) => `h${i}.test`)
  const report = startReport({ ...facts, patterns: many, problems: many.map((pattern) => ({ pattern, message: 'm' })) })
  assert.ok(report.split('\n').length < 40)
  assert.match(report, /5000 found/)
  assert.match(report, /and 4988 more/)
})

test('a url is one that can be asked', () => {
  assert.equal(urlOf('127.0.0.1', 80, false), 'http://127.0.0.1:80')
  assert.equal(urlOf('::1', 80, false), 'http://[::1]:80')
  assert.equal(urlOf('::', 80, false), 'http://[::1]:80')
  assert.equal(urlOf('0.0.0.0', 80, false), 'http://127.0.0.1:80')
  assert.equal(curlLine('_default', 'http://h'), "curl -H 'Host: any.example.test' http://h/")
})
