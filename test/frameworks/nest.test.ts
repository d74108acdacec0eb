import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import path from 'node:path'
import WebSocket from 'ws'
import { APPS, missing, serveFramework } from './serve.ts'

const ENTRY = 'nest/dist/main.js'

test('NestJS', { skip: missing(ENTRY) }, async (t) => {
  const { url, port, runtime, log } = await serveFramework(t, path.join(APPS, ENTRY))
  const json = async (path: string, init?: RequestInit): Promise<unknown> => (await fetch(url + path, init)).json()

  await t.test('controllers get what was injected, their parameters and what middlewares left', async () => {
    assert.deepEqual(await json('/'), { ip: '127.0.0.1', marked: true })
    assert.equal(await (await fetch(`${url}/greet/Ada`)).text(), 'hello Ada')
    assert.deepEqual(await json('/pages?page=3'), { page: 3 })
    assert.equal((await fetch(`${url}/pages?page=x`)).status, 400)
    const echo = await fetch(`${url}/echo`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":"é"}' })
    assert.deepEqual([echo.status, await echo.json()], [202, { a: 'é' }])
  })

  await t.test('guards, interceptors and filters', async () => {
    assert.equal((await fetch(`${url}/members`)).status, 403)
    assert.deepEqual(await json('/members', { headers: { authorization: 'member' } }), { data: ['ada'] })
    const teapot = await fetch(`${url}/teapot`)
    assert.deepEqual([teapot.status, await teapot.json()], [418, { teapot: 'short and stout' }])
    assert.deepEqual(await json('/forbidden'), { statusCode: 403, message: 'not here', error: 'Forbidden' })
    assert.deepEqual(await json('/crash'), { statusCode: 500, message: 'Internal server error' })
    assert.equal((await fetch(`${url}/nowhere`)).status, 404)
  })

  await t.test('redirects, streams, raw answers and events', async () => {
    const moved = await fetch(`${url}/moved`, { redirect: 'manual' })
    assert.deepEqual([moved.status, moved.headers.get('location')], [301, '/greet/moved'])
    assert.equal(await (await fetch(`${url}/file`)).text(), 'from a stream')
    assert.equal(await (await fetch(`${url}/raw`)).text(), 'raw')
    const events = await fetch(`${url}/events`)
    assert.match(events.headers.get('content-type') ?? '', /^text\/event-stream/)
    const ticks = [...(await events.text()).matchAll(/data: (.*)/g)].map(([, data]) => JSON.parse(data as string) as unknown)
    assert.deepEqual(ticks, [{ tick: 0 }, { tick: 1 }, { tick: 2 }])
  })

  await t.test('a gateway speaks WebSocket', async (t) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`)
    t.after(() => socket.terminate())
    await once(socket, 'open')
    socket.send(JSON.stringify({ event: 'shout', data: 'é' }))
    assert.deepEqual(JSON.parse(String((await once(socket, 'message'))[0])), { event: 'shouted', data: 'É' })
    const closed = once(socket, 'close')
    socket.close()
    await closed
  })

  await t.test('when its context drains, the shutdown hooks run', async () => {
    await runtime.close()
    assert.ok(log.some(({ msg }) => msg === 'shutdown by SIGTERM'), JSON.stringify(log.slice(-5)))
  })
})
