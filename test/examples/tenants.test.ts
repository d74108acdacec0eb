import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, startProgram } from './program.ts'

const SERVE = ['dist/cli/main.js', 'serve', 'examples/tenants', '--port', '0']
const NAMED = ['express', 'fastify', 'koa', 'hono', 'plain', 'program', 'mounts', 'life']

test('serve runs every example application, unmodified, each in its own application group', async (t) => {
  const { url, stop } = await startProgram(t, ...SERVE)
  // As mod_wsgi names a group under %{HOST}: with the accepting port, where it is not 80 or 443.
  const groupOf = (host: string): string => `${host}:${new URL(url).port}`

  await t.test('every host answers with its own name, group and counter', async () => {
    for (const application of NAMED) {
      const host = `${application}.example.test`
      for (const requests of [1, 2]) {
        const answer = await askJson(url, host)
        assert.deepEqual(
          [answer['application'], answer['group'], answer['requests']], [application, groupOf(host), requests], host)
      }
    }
  })

  await t.test('two programs on the same port number with the same global do not meet', async () => {
    const before = await askJson(url, 'program.example.test')
    await askJson(url, 'fastify.example.test')
    await askJson(url, 'fastify.example.test')
    const after = await askJson(url, 'program.example.test')
    assert.equal(after['requests'], Number(before['requests']) + 1)
  })

  await t.test('one code base under a wildcard is one world for each host', async () => {
    for (const site of ['one', 'two', 'three']) {
      const host = `${site}.sites.example.test`
      assert.deepEqual(await askJson(url, host), { application: 'sites', host, requests: 1, group: groupOf(host) })
    }
    const again = await askJson(url, 'one.sites.example.test')
    assert.equal(again['requests'], 2)
    assert.equal((await ask(url, 'two.sites.example.test', '/about')).text, 'This is two.sites.example.test\n')
  })

  await t.test('mounts of one host share its world, and each sees the url below its mount', async () => {
    const root = await askJson(url, 'mounts.example.test', '/a?b')
    const blog = await askJson(url, 'mounts.example.test', '/blog/post?c')
    assert.deepEqual([root['greeting'], root['url']], ['Welcome', '/a?b'])
    assert.deepEqual([blog['application'], blog['baseUrl'], blog['url']], ['blog', '/blog', '/post?c'])
    assert.equal(blog['requests'], Number(root['requests']) + 1)
  })

  await t.test('parameters, bodies, streams and client addresses arrive as they would without Tenantry', async () => {
    const body = '{"a":[1,"é"]}'
    for (const application of ['express', 'fastify', 'hono']) {
      const headers = { 'content-type': 'application/json' }
      const answer = await ask(url, `${application}.example.test`, '/echo', { method: 'POST', headers, body })
      assert.deepEqual([answer.status, answer.text], [201, body], application)
    }
    assert.equal((await ask(url, 'express.example.test', '/hello/Ada')).text, 'Hello, Ada\n')
    assert.equal((await ask(url, 'hono.example.test', '/hello/Ada')).text, 'Hello, Ada\n')
    assert.deepEqual(await askJson(url, 'fastify.example.test', '/users/7'), { id: 7, name: 'user 7' })
    assert.equal((await ask(url, 'fastify.example.test', '/users/x')).status, 400)
    assert.equal((await ask(url, 'koa.example.test', '/stream')).text, 'one\ntwo\nthree\n')
    assert.equal((await ask(url, 'koa.example.test', '/nowhere')).status, 404)
    assert.match((await ask(url, 'plain.example.test', '/address')).text, /^(::ffff:)?127\.0\.0\.1\n$/)
    const headers = await askJson(url, 'program.example.test', '/headers')
    assert.equal(headers['host'], 'program.example.test')
  })

  await t.test('a host that nobody named is refused', async () => {
    const headers = { accept: 'application/problem+json' }
    const { status, text } = await ask(url, 'stranger.test', '/', { headers })
    const { code } = JSON.parse(text) as { code: string }
    assert.deepEqual([status, code], [421, 'ERR_HOST_NOT_ALLOWED'])
  })

  await t.test('SIGTERM drains and ends it with 0', async () => {
    assert.equal(await stop(), 0)
  })
})
