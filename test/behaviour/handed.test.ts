import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { createRuntime } from '../../src/runtime.ts'
import { subscribe } from '../../src/events.ts'
import { ask, eventually } from './client.ts'
import { tenantFolder } from './house.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Runtime } from '../../src/runtime.ts'

const skip = openDescriptors() === undefined && 'neither koffi nor node:ffi is here, or this is not 64-bit Linux'

const APP = `
  export default (req, res) => {
    req.on('error', () => {})
    if (req.url === '/never') return
    req.resume().on('end', () => res.end('done'))
  }`

/** A runtime whose connections are handed over, and what it was told of refusals. */
async function open(t: TestContext, options: Partial<RuntimeOptions>): Promise<{ runtime: Runtime; port: number; told: string[] }> {
  const tenants = await tenantFolder(t, { 'a.test': APP, 'b.test': APP })
  const runtime = createRuntime({ tenants, lane: 'handoff', logger: false, drainTimeout: 500, ...options })
  t.after(() => runtime.close())
  const told: string[] = []
  t.after(subscribe('tenantry:admission:refuse', ({ code }) => told.push(code)))
  t.after(subscribe('tenantry:request:error', ({ code }) => told.push(code)))
  const { port } = (await runtime.listen()).address() as AddressInfo
  // The context is there: from here on every connection takes the same way.
  assert.equal((await ask(port, 'a.test')).text, 'done')
  return { runtime, port, told }
}

/** Everything that comes until the server closes. */
async function send(t: TestContext, port: number, text: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  let all = ''
  socket.on('data', (chunk) => { all += chunk.toString('latin1') })
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return all
}

test('who accepts application/problem+json gets the code in it on a connection that was handed over, and HEAD no body', { skip }, async (t) => {
  const { port } = await open(t, { handlerTimeout: 300 })
  const problem = await send(t, port, 'GET /never HTTP/1.1\r\nHost: a.test\r\nAccept: application/problem+json\r\n\r\n')
  const [head = '', body = ''] = problem.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 504 [^]*\r\nContent-Type: application\/problem\+json\r\n/)
  assert.equal((JSON.parse(body) as { code: string }).code, 'ERR_HANDLER_TIMEOUT')
  const bare = await send(t, port, 'HEAD /never HTTP/1.1\r\nHost: a.test\r\n\r\n')
  assert.match(bare, /^HTTP\/1\.1 504 [^]*\r\n\r\n$/)
})

for (const [what, options, request, status, code] of [
  ['bodyLimit', { bodyLimit: 5 }, 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n', 413, 'ERR_BODY_TOO_LARGE'],
  ['bodyTimeout', { bodyTimeout: 300, bodyMinRate: 0 }, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n123', 408, 'ERR_READ_TIMEOUT'],
  ['handlerTimeout', { handlerTimeout: 300 }, 'GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n', 504, 'ERR_HANDLER_TIMEOUT'],
] as const) {
  test(`${what} of the runtime holds for requests on connections that were handed over`, { skip }, async (t) => {
    const { runtime, port, told } = await open(t, options)
    assert.match(await send(t, port, request), new RegExp(`^HTTP/1\\.1 ${status} `))
    await eventually('it is told', () => told.length === 1)
    assert.deepEqual(told, [code])
    assert.deepEqual(runtime.stats().lanes.relay, {})
    await eventually('nothing is in flight', () => runtime.stats().inFlight === 0)
  })
}

test('a connection whose next head comes too slowly is closed, by headerTimeout of the runtime', { skip }, async (t) => {
  const { port, told } = await open(t, { headerTimeout: 400, headerMinRate: 0 })
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  let all = ''
  socket.on('data', (chunk) => { all += chunk.toString('latin1') })
  socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await eventually('it is served', () => all.endsWith('done'))
  await new Promise((resolve) => setTimeout(resolve, 250))
  socket.write('GET / HT')
  await once(socket, 'close')
  // Without its request line there is nobody to answer.
  assert.doesNotMatch(all, / 408 /)
  await eventually('it is told', () => told.length === 1)
  assert.deepEqual(told, ['ERR_READ_TIMEOUT'])
})

test('who finds the queue of a context full is refused, waits for queueTimeout else, and stats() counts both', { skip }, async (t) => {
  const { runtime, port } = await open(t, { maxInFlight: 1, maxQueue: 1, queueTimeout: 1000 })
  const never = 'GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n'
  const held = net.connect(port, '127.0.0.1')
  t.after(() => held.destroy())
  held.write(never)
  await eventually('it is held', () => runtime.stats().inFlight === 1)
  // On the same connection: a new one would wait in the front for its slot.
  held.write(never)
  await eventually('one waits', () => runtime.stats().queued === 1)
  held.write(never)
  await eventually('it is refused', () => runtime.stats().refusals.ERR_QUEUE_FULL === 1)
  await eventually('it has waited', () => runtime.stats().refusals.ERR_QUEUE_TIMEOUT === 1)
})
