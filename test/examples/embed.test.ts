import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, startProgram } from './program.ts'

for (const server of ['node', 'express', 'fastify', 'koa', 'hono']) {
  test(`inside a ${server} server, a tenant answers its host and every other host reaches the server`, async (t) => {
    const { url, stop } = await startProgram(t, `examples/embed-${server}/server.mjs`)

    for (const application of ['express', 'hono', 'plain', 'program']) {
      const answer = await askJson(url, `${application}.example.test`)
      assert.deepEqual([answer['application'], answer['requests']], [application, 1])
    }

    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ text: 'x'.repeat(80_000) })
    const echo = await ask(url, 'express.example.test', '/echo', { method: 'POST', headers, body })
    assert.deepEqual([echo.status, echo.text.length], [201, body.length])

    const outer = await ask(url, 'stranger.test')
    assert.deepEqual([outer.status, outer.text], [200, 'outer\n'])

    assert.equal(await stop(), 0)
  })
}
