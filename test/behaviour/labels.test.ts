import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, exchange } from './client.ts'
import { COUNTING, openHouse, tenantFolder } from './house.ts'
import { serve } from './command.ts'

const TWO = { 'a.test': COUNTING, 'b.test': COUNTING }
const MOUNTED = { 'm.test': {
  'tenant.json': JSON.stringify({ mounts: { '/': 'index.mjs', '/blog': 'blog.mjs', '/blog/old': 'index.mjs' } }),
  'index.mjs': COUNTING, 'blog.mjs': COUNTING,
} }

test('%{SERVER} names the group after the server, and hosts of one name share one context', async (t) => {
  const { port, runtime } = await openHouse(t, { '*.sites.test': COUNTING }, { applicationGroup: '%{SERVER}', serverName: 'Main.Test' })
  assert.deepEqual((await askJson(port, 'one.sites.test'))['group'], `Main.Test:${port}`)
  assert.equal((await askJson(port, 'two.sites.test'))['requests'], 2)
  assert.equal(runtime.stats().births, 1)
})

test('mounts of one tenant share its context under %{HOST}; each application sees its url below its mount', async (t) => {
  const { port, runtime } = await openHouse(t, MOUNTED)
  const answers = await Promise.all(['/', '/blog', '/blog/post?x=1', '/blogger', '/blog/old/x', '/blog?y'].map((path) => askJson(port, 'm.test', path)))
  assert.deepEqual(answers.map(({ baseUrl, url }) => [baseUrl, url]), [
    [undefined, '/'], ['/blog', '/'], ['/blog', '/post?x=1'], [undefined, '/blogger'], ['/blog/old', '/x'], ['/blog', '/?y'],
  ])
  assert.equal(runtime.stats().births, 1)
  assert.equal(new Set(answers.map(({ group }) => group)).size, 1)
})

test('an absolute target keeps its host in front of the url below the mount, as in Express', async (t) => {
  const { port } = await openHouse(t, MOUNTED)
  for (const [target, url] of [
    ['http://m.test/blog/x?y', 'http://m.test/x?y'], ['http://m.test/blog', 'http://m.test/'], ['http://m.test/x', 'http://m.test/x'],
    ['http://m.test', 'http://m.test'], ['//blog/x', '//blog/x'], ['/blog//x', '//x'],
  ]) {
    const text = await exchange(t, port, `GET ${target as string} HTTP/1.1\r\nHost: m.test\r\nConnection: close\r\n\r\n`)
    assert.ok(text.includes(`"url":"${url as string}"`), `${target as string}: ${text}`)
  }
})

test('under %{RESOURCE} each mount has a context of its own', async (t) => {
  const { port, runtime } = await openHouse(t, MOUNTED, { applicationGroup: '%{RESOURCE}', serverName: 'm.test' })
  const groups = new Map<string, unknown>()
  for (const path of ['/', '/blog/x', '/blog/old', '/x', '/blog']) {
    const { group, requests } = await askJson(port, 'm.test', path)
    groups.set(group as string, requests)
  }
  assert.deepEqual([...groups], [[`m.test:${port}|`, 2], [`m.test:${port}|/blog`, 2], [`m.test:${port}|/blog/old`, 1]])
  assert.equal(runtime.stats().births, 3)
})

test('%{ENV:X} takes its name from requestVariables, and without one it is 500 with the reason in the log', async (t) => {
  const { port, log } = await openHouse(t, TWO, {
    applicationGroup: '%{ENV:TEAM}',
    requestVariables: ({ rawHeaders }) => {
      const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'x-team')
      return at === -1 ? {} : { TEAM: rawHeaders[at + 1] }
    },
  })
  const as = (team: string): { headers: Record<string, string> } => ({ headers: { 'x-team': team } })
  assert.deepEqual(await askJson(port, 'a.test', '/', as('red')), { group: 'red', requests: 1, url: '/' })
  assert.equal((await askJson(port, 'a.test', '/', as('blue')))['requests'], 1)
  assert.equal((await askJson(port, 'a.test', '/', as('red')))['requests'], 2)
  const nobody = await ask(port, 'a.test')
  assert.equal(nobody.status, 500)
  assert.doesNotMatch(nobody.text, /TEAM/)
  await eventually('the log says why', () => log.some(({ code, msg }) => code === 'ERR_LABEL_INVALID' && msg.includes('%{ENV:TEAM}')))
  for (const bad of ['', 'x'.repeat(300)]) assert.equal((await ask(port, 'a.test', '/', as(bad))).status, 500)
  // What a client sends is a name, and is not expanded again.
  assert.equal((await askJson(port, 'a.test', '/', as('%{GLOBAL}')))['group'], '%{GLOBAL}')
})

test('%{ENV:X} of the command comes from its environment', async (t) => {
  const { port } = await serve(t, [await tenantFolder(t, TWO), '--application-group', '%{ENV:TEAM}'], { TEAM: 'green' })
  assert.equal((await askJson(port, 'a.test'))['group'], 'green')
})

test('with a literal or %{GLOBAL} the hosts of one tenant share one context', async (t) => {
  for (const [spec, name] of [['shared', 'shared'], ['%{GLOBAL}', '']] as const) {
    const { port, runtime } = await openHouse(t, { '*.sites.test': COUNTING }, { applicationGroup: spec })
    assert.deepEqual(await askJson(port, 'one.sites.test'), { group: name, requests: 1, url: '/' })
    assert.equal((await askJson(port, 'two.sites.test'))['requests'], 2)
    assert.equal(runtime.stats().births, 1)
  }
})

test('tenants with different code never answer for each other, whatever their labels share', async (t) => {
  const says = (name: string): string => `export default (req, res) => res.end(JSON.stringify({ code: '${name}' }))`
  for (const spec of ['shared', '%{GLOBAL}', '%{SERVER}']) {
    const { port } = await openHouse(t, { 'a.test': says('a'), 'b.test': says('b') }, { applicationGroup: spec })
    for (const host of ['a', 'b', 'a', 'b']) assert.equal((await askJson(port, `${host}.test`))['code'], host, spec)
  }
})

test('a function of the request names the group; what it may not answer is 500', async (t) => {
  const { port, runtime } = await openHouse(t, TWO, {
    applicationGroup: ({ url }) => {
      if (url === '/throw') throw new Error('on purpose')
      return url.slice(1)
    },
  })
  assert.equal((await askJson(port, 'a.test', '/one'))['group'], 'one')
  assert.equal((await askJson(port, 'a.test', '/two'))['requests'], 1)
  assert.equal((await askJson(port, 'a.test', '/one'))['requests'], 2)
  for (const path of ['/throw', '/', `/${'x'.repeat(300)}`]) {
    const { status, text } = await ask(port, 'a.test', path)
    assert.equal(status, 500, path)
    assert.doesNotMatch(text, /purpose/)
  }
  assert.equal(runtime.stats().births, 2)
})

test('the port of a label is the one that accepted, so that a client cannot choose it', async (t) => {
  const { port, runtime } = await openHouse(t, TWO)
  for (const host of ['a.test', 'a.test:1', 'a.test:65535', 'A.TEST:80']) {
    assert.equal((await askJson(port, host))['group'], `a.test:${port}`)
  }
  assert.equal(runtime.stats().births, 1)
})
