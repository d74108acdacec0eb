import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { descriptorOf } from '../../src/context/handover.ts'
import { connected, openCount, watch } from './sockets.ts'
import { until } from '../wire/ends.ts'
import { folder } from './start.ts'

const descriptors = openDescriptors()
const skip = descriptors === undefined && 'neither koffi nor node:ffi is here, or this is not 64-bit Linux'
const { duplicate, send, receive } = {
  duplicate: (fd: number) => descriptors!.duplicate(fd),
  send: (socket: number, fd: number, bytes: Uint8Array) => descriptors!.send(socket, fd, bytes),
  receive: (socket: number) => descriptors!.receive(socket),
}

/** O_CLOEXEC, as the kernel shows it. */
function closesInPrograms(fd: number): boolean {
  const [, flags] = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? []
  return (Number.parseInt(String(flags), 8) & 0o2000000) !== 0
}

const BESIDE = new Uint8Array([1, 2, 3])

test('where this is 64-bit Linux and koffi is installed, descriptors can be duplicated', () => {
  let installed = true
  try {
    import.meta.resolve('koffi')
  } catch {
    installed = false
  }
  const isKnown = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
  if (installed && isKnown) assert.ok(descriptors !== undefined)
  if (!isKnown) assert.equal(descriptors, undefined)
})

test('a duplicate names the same file, has a number of its own, and no started program has it', { skip }, (t) => {
  const fd = openSync('/dev/null', 'r')
  t.after(() => closeSync(fd))
  const own = duplicate(fd)
  assert.ok(own !== undefined && own !== fd && own >= 3)
  assert.equal(fstatSync(own).ino, fstatSync(fd).ino)
  assert.ok(closesInPrograms(own))
  assert.notEqual(spawnSync('readlink', [`/proc/self/fd/${own}`]).stdout.toString(), readlinkSync(`/proc/self/fd/${own}`) + '\n')
  closeSync(own)
  assert.equal(fstatSync(fd).isCharacterDevice(), true)
})

test('a number that names nothing has no duplicate', { skip }, () => {
  assert.equal(duplicate(1_000_000), undefined)
  assert.equal(duplicate(-1), undefined)
})

test('at the limit of descriptors there is no duplicate, and nothing is thrown', { skip }, () => {
  const url = new URL('../../src/context/descriptors.ts', import.meta.url)
  const program = `
    import fs from 'node:fs'
    const { openDescriptors } = await import(${JSON.stringify(url.href.replace(/\.ts$/, import.meta.url.endsWith('.ts') ? '.ts' : '.js'))})
    const descriptors = openDescriptors()
    const opened = []
    try { for (;;) opened.push(fs.openSync('/dev/null')) } catch {}
    const before = descriptors.duplicate(opened[0])
    fs.closeSync(opened.pop())
    const after = descriptors.duplicate(opened[0])
    console.log(JSON.stringify([before === undefined, typeof after]))`
  const { stdout, stderr } = spawnSync('sh', ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, program])
  assert.equal(stdout.toString(), '[true,"number"]\n', stderr.toString())
})

test('a descriptor crosses a Unix socket with the bytes beside it, each with its own', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  const [here, there] = [descriptorOf(socket)!, descriptorOf(client)!]
  assert.equal(receive(there), undefined, 'nothing was sent yet')
  const files = ['/dev/null', '/dev/zero', '/dev/full'].map((name) => ({ name, fd: openSync(name, 'r') }))
  const before = openCount()
  files.forEach(({ fd }, index) => assert.ok(send(here, fd, new Uint8Array([index, 7]))))
  for (const [index, { name, fd }] of files.entries()) {
    const taken = receive(there)
    assert.ok(taken !== undefined && taken.fd !== fd)
    assert.deepEqual([...taken.bytes], [index, 7])
    assert.equal(readlinkSync(`/proc/self/fd/${taken.fd}`), name)
    assert.ok(closesInPrograms(taken.fd), 'no program that a tenant starts has it')
    closeSync(taken.fd)
  }
  assert.equal(receive(there), undefined)
  assert.equal(openCount(), before)
  for (const { fd } of files) closeSync(fd)
})

test('bytes that come without a descriptor are no descriptor', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  socket.write('abc')
  await new Promise(setImmediate)
  assert.equal(receive(descriptorOf(client)!), undefined)
})

test('who does not read holds no sender up, and what lay unread is closed with the socket', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  const lane = descriptorOf(socket)!
  const { socket: sent, client: far } = await connected(t)
  const seen = watch(far)
  let sends = 0
  while (send(lane, descriptorOf(sent)!, BESIDE)) assert.ok(++sends < 100_000, 'the kernel takes no end of them')
  assert.ok(sends > 0)
  sent.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(seen.over, false, 'those in the socket keep the connection')
  client.destroy()
  await until(() => seen.over)
})

test('a socket whose other end is gone takes nothing, and sends no signal', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  const lane = descriptorOf(socket)!
  client.destroy()
  await new Promise(setImmediate)
  assert.equal(send(lane, 0, BESIDE), false)
  assert.equal(receive(lane), undefined)
})

test('no more bytes go beside a descriptor than the other end makes room for', { skip }, async (t) => {
  const { socket, client } = await connected(t, path.join(folder(t), 'lane'))
  const lane = descriptorOf(socket)!
  assert.equal(send(lane, 0, new Uint8Array(65)), false)
  assert.equal(send(lane, 0, new Uint8Array(0)), false)
  assert.equal(receive(descriptorOf(client)!), undefined)
})
