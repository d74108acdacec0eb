import { test } from 'node:test'
import assert from 'node:assert/strict'
import { curlLine, startReport, urlOf } from '../../src/cli/start-report.ts'
import { resolveOptions } from '../../src/options.ts'

const facts = {
  version: '1.0.0',
  url: 'http://127.0.0.1:8080',
  patterns: ['express.example.test', '*.sites.example.test', '_default'],
  problems: [],
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

test('thousands of tenants and problems do not make a long report', () => {
  const many = Array.from({ length: 5000 }, (_, i) => `h${i}.test`)
  const report = startReport({ ...facts, patterns: many, problems: many.map((pattern) => ({ pattern, message: 'm' })) })
  assert.ok(report.split('\n').length < 40)
  assert.match(report, /5000 found/)
  assert.match(report, /and 4988 more/)
})

test('a url is one that can be asked', () => {
  assert.equal(urlOf('127.0.0.1', 80), 'http://127.0.0.1:80')
  assert.equal(urlOf('::1', 80), 'http://[::1]:80')
  assert.equal(urlOf('::', 80), 'http://[::1]:80')
  assert.equal(urlOf('0.0.0.0', 80), 'http://127.0.0.1:80')
  assert.equal(curlLine('_default', 'http://h'), "curl -H 'Host: any.example.test' http://h/")
})
