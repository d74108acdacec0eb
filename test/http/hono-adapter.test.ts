import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { tenantry } from '../../src/http/hono.ts'
import { openRuntime } from '../behaviour/house.ts'
import { exchange, get, listen } from '../tenant/front.ts'
import type http from 'node:http'

const APP = 'export default (req, res) => res.end(req.method + " from the tenant")'

// Node's own first: what was replaced stays so.
for (const overrideGlobalObjects of [false, true]) {
  test(`behind Hono with ${overrideGlobalObjects ? 'its own' : "Node's"} Response, an answer is written once and nobody complains`, async (t) => {
    const said = t.mock.method(console, 'error', () => {})
    const { runtime } = await openRuntime(t, { 'a.test': APP })
    const app = new Hono()
    // Both make Hono copy the response that it is told of.
    app.use('/set/*', async (context, next) => {
      context.header('x-before', '1')
      await next()
      context.res.headers.set('x-after', '1')
    })
    app.use(tenantry(runtime))
    app.get('/own', (context) => context.text('from Hono'))
    const port = await listen(t, createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects }) as http.Server)
    for (const path of ['/', '/set/fields']) {
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
        const answer = await exchange(t, port, get(path, '', method))
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
        assert.equal(answer.split('\r\n\r\n')[1], method === 'HEAD' ? '' : `${method} from the tenant`)
      }
    }
    assert.match(await exchange(t, port, get('/own').replace('a.test', 'unknown.test')), /from Hono$/)
    assert.deepEqual(said.mock.calls.map(({ arguments: [what] }) => String(what)), [])
  })
}
