import https from 'node:https'
import path from 'node:path'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { openTlsLanes, shareLanes } from './lanes.ts'

const lanes = shareLanes((t) => openTlsLanes(t, path.resolve('test/fixtures/apps/routes.mjs')))

/** What a client gets and what the handler saw of the request, by TLS. */
async function ask(port: number, route: string, body?: string): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path: route, method: body === undefined ? 'GET' : 'POST', servername: 'a.test',
      headers: { host: 'a.test' }, rejectUnauthorized: false, agent: false as const }
    const outgoing = https.request(options, (incoming) => {
      let text = ''
      incoming.setEncoding('latin1').on('data', (part: string) => { text += part })
      incoming.on('error', () => {})
      incoming.on('close', () => resolve({
        status: incoming.statusCode, message: incoming.statusMessage, complete: incoming.complete, text, rawTrailers: incoming.rawTrailers,
        rawHeaders: incoming.rawHeaders.map((field, at, all) => all[at - 1] === 'Date' ? 'now' : field),
      }))
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

for (const route of ['/hello', '/chunks', '/length', '/raw', '/trailers', '/304', '/head', '/big', '/destroy-mid', '/hints']) {
  test(`https: ${route} is answered as by node:https`, async () => {
    const { bare, others } = lanes()
    const expected = await ask(bare.port, route)
    for (const { name, port } of others) assert.deepEqual(await ask(port, route), expected, name)
  })
}

test('https: a body comes back as from node:https', async () => {
  const { bare, others } = lanes()
  const expected = await ask(bare.port, '/echo', 's'.repeat(300_000))
  for (const { name, port } of others) assert.deepEqual(await ask(port, '/echo', 's'.repeat(300_000)), expected, name)
})
