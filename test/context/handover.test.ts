import { test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { MessageChannel, Worker } from 'node:worker_threads'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { descriptorOf, Handover } from '../../src/context/handover.ts'
import { until } from '../wire/ends.ts'
import { connected, openCount, watch } from './sockets.ts'
import { startSource } from './start.ts'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { HandoverMessage } from '../../src/wire/handover.ts'

const skip = openDescriptors() === undefined && 'neither koffi nor node:ffi is here, or this is not 64-bit Linux'

/** What a context does with connections: answers with what was read of them, or holds them, or leaves them in the port. */
const TAKER = `
  const { parentPort, workerData: { port, says, takes } } = require('node:worker_threads')
  const net = require('node:net')
  if (takes) port.on('message', ([id, fd, first, hosts]) => {
    const socket = new net.Socket({ fd, readable: true, writable: true })
    socket.on('error', () => {})
    socket.write(Buffer.from(first).toString('latin1') + ' ' + hosts.join() + ';')
    socket.on('data', (chunk) => socket.write(chunk))
    if (says) port.postMessage(id)
    parentPort.postMessage('taken')
  })
  else port.ref()
  parentPort.postMessage('here')`

interface Taker { readonly worker: Worker; readonly handover: Handover }

async function taker(t: TestContext, { says = true, takes = true } = {}): Promise<Taker> {
  const { port1, port2 } = new MessageChannel()
  const worker = new Worker(TAKER, { eval: true, workerData: { port: port2, says, takes }, transferList: [port2] })
  t.after(() => worker.terminate())
  const handover = new Handover(port1)
  t.after(() => handover.close())
  await once(worker, 'message')
  return { worker, handover }
}

const FIRST = Buffer.from('GET / HTTP/1.1')

test('a connection moves into the context, and its client sees nothing of that', { skip }, async (t) => {
  const { worker, handover } = await taker(t)
  // A loop's first stream opens one descriptor for itself.
  const earlier = await connected(t)
  handover.give({ socket: earlier.socket, first: FIRST, hosts: [] })
  await once(worker, 'message')
  const before = openCount()
  const { socket, client } = await connected(t)
  const seen = watch(client)
  assert.equal(handover.give({ socket, first: FIRST, hosts: ['a.test', 'b.test'] }), true)
  assert.equal(socket.destroyed, true)
  await until(() => seen.text === 'GET / HTTP/1.1 a.test,b.test;')
  client.write('more')
  await until(() => seen.text.endsWith(';more'))
  assert.equal(seen.over, false)
  assert.equal(handover.underWay, 0)
  client.destroy()
  await until(() => openCount() <= before)
})

test('what crosses holds the bytes that were read and none beside them', { skip }, async (t) => {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port2.close())
  const handover = new Handover(port1)
  t.after(() => handover.close())
  const { socket } = await connected(t)
  const pool = Buffer.from('secret GET secret')
  handover.give({ socket, first: pool.subarray(7, 10), hosts: [] })
  const [[id, fd, first, hosts]] = await once(port2, 'message') as [HandoverMessage]
  assert.deepEqual([id, Buffer.from(first).toString(), first.buffer.byteLength, hosts], [1, 'GET', 3, []])
  assert.ok(fstatSync(fd).isSocket())
})

test('a context that ends without having opened them leaves no descriptor open, and their clients see the end', { skip }, async (t) => {
  const { worker, handover } = await taker(t, { takes: false })
  const before = openCount()
  const connections = await Promise.all(Array.from({ length: 5 }, () => connected(t)))
  const seen = connections.map(({ client }) => watch(client))
  for (const { socket } of connections) assert.equal(handover.give({ socket, first: FIRST, hosts: [] }), true)
  assert.equal(handover.underWay, 5)
  await worker.terminate()
  assert.ok(seen.every(({ over }) => !over), 'the numbers are still ours')
  handover.close()
  await until(() => seen.every(({ over }) => over))
  await until(() => openCount() <= before)
})

test('a connection that its context never opened comes back whole, once, and later than its end', { skip }, async (t) => {
  const { worker, handover } = await taker(t, { takes: false })
  const before = openCount()
  const { socket, client } = await connected(t)
  const seen = watch(client)
  const returned: Socket[] = []
  const { remotePort } = socket
  assert.equal(handover.give({ socket, first: FIRST, hosts: [], onReturned: (back) => returned.push(back) }), true)
  client.write(' more')
  await worker.terminate()
  handover.close()
  assert.equal(returned.length, 0, 'whoever counts the contexts hears of the end first')
  await until(() => returned.length === 1)
  const back = returned[0] as Socket
  t.after(() => back.destroy())
  assert.equal(back.remotePort, remotePort)
  assert.ok(back.bytesRead >= FIRST.length, 'it does not look like one that has said nothing')
  back.end('an answer')
  const heard = watch(back)
  await until(() => heard.text === `${String(FIRST)} more`)
  await until(() => seen.text === 'an answer')
  client.end()
  await until(() => openCount() <= before)
  assert.equal(returned.length, 1)
})

test('a number that a context opened without saying so is neither closed a second time nor given back', { skip }, async (t) => {
  let returned = 0
  const { worker, handover } = await taker(t, { says: false })
  const numbers: number[] = []
  for (let index = 0; index < 5; index++) {
    const { socket } = await connected(t)
    const taken = once(worker, 'message')
    // The duplicate takes the lowest number that is free, as this file does.
    const lowest = openSync('/dev/null', 'r')
    numbers.push(lowest)
    closeSync(lowest)
    handover.give({ socket, first: FIRST, hosts: [], onReturned: () => returned++ })
    await taken
  }
  assert.equal(handover.underWay, 5)
  await worker.terminate()
  // Its numbers are free now, and these get them.
  const others = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  assert.ok(numbers.every((fd) => others.includes(fd)), 'the test takes the same numbers')
  handover.close()
  // Where they were closed all the same, as without the comparison of inodes, this throws EBADF.
  await new Promise(setImmediate)
  assert.equal(returned, 0)
  for (const fd of others) assert.equal(fstatSync(fd).isCharacterDevice(), true)
  for (const fd of others) closeSync(fd)
})

test('what a context said before it died is heard after its death: what it opened is neither closed nor given back', { skip }, async (t) => {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port2.close())
  const handover = new Handover(port1)
  const { socket, client } = await connected(t)
  const seen = watch(client)
  let returned = 0
  handover.give({ socket, first: FIRST, hosts: [], onReturned: () => returned++ })
  const [[id, fd]] = await once(port2, 'message') as [HandoverMessage]
  // This thread is the context here: the number stays open, so that only its word tells whose it is.
  port2.postMessage(id)
  handover.close()
  await new Promise(setImmediate)
  assert.deepEqual([handover.underWay, returned, seen.over], [0, 0, false])
  assert.ok(fstatSync(fd).isSocket())
  closeSync(fd)
})

test('what cannot be given away stays where it is, and whole', { skip }, async (t) => {
  const { handover } = await taker(t)
  const before = openCount()
  const { socket, client } = await connected(t)
  const give = (): boolean => handover.give({ socket, first: FIRST, hosts: [] })
  // Read already, and not by who offers it.
  socket.unshift(Buffer.from('x'))
  assert.equal(give(), false)
  socket.read()
  socket.cork()
  socket.write('unsent')
  assert.equal(give(), false)
  socket.uncork()
  await new Promise(setImmediate)
  handover.close()
  assert.equal(give(), false)
  assert.equal(openCount(), before + 2)
  const seen = watch(client)
  socket.write(', sent')
  await until(() => seen.text === 'unsent, sent')
  socket.destroy()
  assert.equal(give(), false)
})

test('a context that takes none gets a bounded number of them', { skip }, async (t) => {
  const { handover } = await taker(t, { takes: false })
  const fd = openSync('/dev/null', 'r')
  // All with one number, which is closed once, with the first of them.
  for (let index = 0; index < 1024; index++) assert.equal(handover.post(fd, { first: FIRST, hosts: [] }), true)
  assert.equal(handover.post(fd, { first: FIRST, hosts: [] }), false)
})

test('a context that gave up its end of the port gets no more', { skip }, async (t) => {
  const { port1, port2 } = new MessageChannel()
  const handover = new Handover(port1)
  t.after(() => handover.close())
  const alive = setInterval(() => {}, 1000)
  t.after(() => clearInterval(alive))
  port2.close()
  await once(port1, 'close')
  const { socket } = await connected(t)
  assert.equal(handover.give({ socket, first: FIRST, hosts: [] }), false)
  assert.ok(descriptorOf(socket) !== undefined)
})

test('a context takes connections while it serves, not before and not after', { skip }, async (t) => {
  const context = startSource(t, 'export default (req, res) => res.end("hello")')
  const { socket } = await connected(t)
  const offer = { socket, first: FIRST, hosts: ['a.test'] }
  assert.equal(context.handOver(offer), false)
  await context.ready
  context.terminate('admin').catch(() => {})
  assert.equal(context.handOver(offer), false)
  await context.ended
  assert.equal(context.handOver(offer), false)
  assert.equal(socket.destroyed, false)
})
