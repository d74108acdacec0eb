import { test } from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { resolveOptions } from '../../src/options.ts'
import { openDirectory, openResolver } from '../../src/resolving.ts'
import type { Route } from '../../src/http/resolve.ts'
import type { LabelSpec, RequestFacts } from '../../src/label/request-facts.ts'
import type { ClientFacts } from '../../src/label/trust.ts'

const ENTRY = path.resolve('package.json')

function routes(applicationGroup: LabelSpec, entries = { '*.test': ENTRY }): (facts: Partial<RequestFacts>) => Route {
  const options = resolveOptions({ tenants: entries, applicationGroup, labelPort: 'accepting' })
  const resolver = openResolver(openDirectory(options), options)
  const plain = { host: 'a.test', hostPort: undefined, acceptingPort: 80, method: 'GET', url: '/', rawHeaders: [] }
  return (facts) => resolver.resolve({ ...plain, ...facts }, {} as ClientFacts) as Route
}

test('a request like the last one of its rule gets the same route, and any other one its own', () => {
  const route = routes('%{HOST}')
  assert.equal(route({}), route({ url: '/other', rawHeaders: ['x', 'y'] }))
  const asked = [{}, { acceptingPort: 8080 }, { host: 'b.test' }, { host: 'b.test', acceptingPort: 8080 }, {}]
  assert.deepEqual(asked.map((facts) => route(facts).target.label), ['a.test', 'a.test:8080', 'b.test', 'b.test:8080', 'a.test'])
  assert.deepEqual(asked.map((facts) => route(facts).target.host), ['a.test', 'a.test', 'b.test', 'b.test', 'a.test'])
})

test('tenants that share all their settings have routes of their own', () => {
  const route = routes('%{HOST}', { 'a.test': ENTRY, 'b.test': ENTRY } as never)
  const [a, b] = [route({ host: 'a.test' }), route({ host: 'b.test' })]
  assert.deepEqual([a.target.key, b.target.key], ['host:a.test', 'host:b.test'])
  assert.deepEqual([route({ host: 'a.test' }), route({ host: 'b.test' })], [a, b])
  assert.equal(route({ host: 'a.test' }), a)
})

test('a label that looks at more than host and ports is asked for each request', () => {
  const route = routes(({ method }) => method.toLowerCase())
  assert.deepEqual(['GET', 'POST', 'GET'].map((method) => route({ method }).target.label), ['get', 'post', 'get'])
})
