import http from 'node:http'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, exchange } from './client.ts'
import { openHouse } from './house.ts'

/** Leaves a mark everywhere an application can, and says what it sees. */
const MARKING = `
globalThis.marks = (globalThis.marks ?? 0) + 1
import * as counter from './counter.mjs'
process.env.MARKED = (process.env.MARKED ?? '') + process.env.TENANTRY_APPLICATION_GROUP
Array.prototype.marked = process.env.TENANTRY_APPLICATION_GROUP
export default (req, res) => {
  if (req.url === '/crash') setImmediate(() => { throw new Error('crashed on purpose') })
  else if (req.url === '/exit') process.exit(0)
  else res.end(JSON.stringify({
    marks: globalThis.marks, marked: process.env.MARKED, array: [].marked, count: counter.next(),
    keys: Object.keys(process.env).sort(), processGroup: process.env.TENANTRY_PROCESS_GROUP, secret: process.env.FRONT_SECRET ?? null,
  }))
}
`
const FILES = { 'index.mjs': MARKING, 'counter.mjs': 'let count = 0\nexport const next = () => ++count\n' }

test('each host has globals, prototypes, environment and modules of its own', async (t) => {
  process.env['FRONT_SECRET'] = 'only for the front'
  t.after(() => delete process.env['FRONT_SECRET'])
  const { port } = await openHouse(t, { 'a.test': FILES, 'b.test': FILES })
  for (const round of [1, 2, 3]) {
    for (const host of ['a.test', 'b.test']) {
      const group = `${host}:${port}`
      assert.deepEqual(await askJson(port, host), {
        marks: 1, marked: group, array: group, count: round,
        keys: ['MARKED', 'TENANTRY_APPLICATION_GROUP', 'TENANTRY_PROCESS_GROUP'], processGroup: '', secret: null,
      })
    }
  }
  assert.equal(process.env['MARKED'], undefined)
  assert.equal(([] as { marked?: unknown }).marked, undefined)
})

test('one keep-alive connection that hops between hosts always meets the host that it names', async (t) => {
  const { port } = await openHouse(t, { 'a.test': FILES, 'b.test': FILES }, { lane: 'relay' })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  for (let round = 1; round <= 20; round++) {
    for (const host of ['a.test', 'b.test', 'A.Test.', `b.test:${port}`]) {
      const { marked } = await askJson(port, host, '/', { agent })
      assert.equal(marked, `${host.slice(0, 1).toLowerCase()}.test:${port}`)
    }
  }
  assert.deepEqual(Object.values(agent.freeSockets).map((sockets) => sockets?.length), [1], 'it was one connection')
})

test('requests for different hosts that share a connection and a moment do not disturb each other', async (t) => {
  const slow = (name: string): string => `
    export default (req, res) => {
      res.on('close', () => { if (!res.writableFinished) console.error('broken off') })
      setTimeout(() => res.end('from ${name}' + req.url), req.url === '/slow' ? 150 : 0)
    }
  `
  const { port } = await openHouse(t, { 'a.test': slow('a'), 'b.test': slow('b') }, { lane: 'relay' })
  await Promise.all([ask(port, 'a.test'), ask(port, 'b.test')])
  const text = await exchange(t, port, [
    'GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'GET /slow HTTP/1.1\r\nHost: b.test\r\n\r\n',
    'GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'GET /3 HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n',
  ].join(''))
  assert.deepEqual([...text.matchAll(/from (\S+?)(?=HTTP|$|\r)/g)].map(([, name]) => name), ['a/slow', 'b/slow', 'a/2', 'b/3'])
})

test('a wildcard folder serves every host below it, each in a context of its own', async (t) => {
  const { port, runtime } = await openHouse(t, { '*.sites.test': FILES })
  for (const host of ['one.sites.test', 'two.sites.test', 'one.sites.test']) {
    const { marked } = await askJson(port, host)
    assert.equal(marked, `${host}:${port}`)
  }
  assert.equal(runtime.stats().births, 2)
  assert.equal((await ask(port, 'sites.test')).status, 421, 'the name itself is not below it')
})

test('a context that crashes or exits takes no other host with it, and is there again for the next request', async (t) => {
  const { port, log } = await openHouse(t, { 'a.test': FILES, 'b.test': FILES }, { lane: 'relay' })
  for (const end of ['/crash', '/exit']) {
    await askJson(port, 'a.test')
    const before = await askJson(port, 'b.test')
    assert.equal((await ask(port, 'a.test', end)).status, 502)
    const after = await askJson(port, 'b.test')
    assert.equal(after['count'], (before['count'] as number) + 1)
    assert.equal((await askJson(port, 'a.test'))['count'], 1)
  }
  await eventually('both ends are in the log', () => log.filter(({ reason }) => reason === 'crash' || reason === 'exit').length >= 2)
})
