import { readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ask, askJson, eventually, Wire } from './client.ts'
import { line, runCommand, serve } from './command.ts'
import { COUNTING, tenantFolder } from './house.ts'

const SLOW = `
export default (req, res) => {
  if (req.url === '/slow') { res.write('begun '); setTimeout(() => res.end('finished'), 700) }
  else if (req.url === '/late') setTimeout(() => res.end('finished'), 700)
  else if (req.url === '/never') res.write('begun')
  else if (req.url === '/spin') { while (true) {} }
  else if (req.url.startsWith('/big')) res.end(Buffer.alloc(Number(req.url.slice(5)), 'x'))
  else if (req.url === '/child') { require('node:child_process').spawn('sleep', ['1']) ; res.end() }
  else res.end('fine')
}
`

test('SIGTERM stops accepting, lets slow requests finish, and exits 0', async (t) => {
  const { port, kill, ended, log } = await serve(t, [await tenantFolder(t, { 'a.test': SLOW })])
  await ask(port, 'a.test')
  const begun = await Wire.open(t, port)
  begun.send('GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await begun.until('begun')
  const late = ask(port, 'a.test', '/late')
  // Only for the request to have arrived: the answer takes 700 ms.
  await new Promise((resolve) => setTimeout(resolve, 150))
  kill('SIGTERM')
  assert.deepEqual([(await late).text, (await late).complete], ['finished', true])
  assert.match(await begun.rest(), /finished\r\n0\r\n\r\n$/)
  assert.deepEqual(await ended, { code: 0, signal: null })
  assert.deepEqual(log.slice(-1).map(({ msg }) => msg), ['closed'])
  await assert.rejects(ask(port, 'a.test'), /ECONNREFUSED/)
})

test('a connection that is kept alive is told 503 and closed while the server drains', async (t) => {
  const { port, kill, ended, log } = await serve(t, [await tenantFolder(t, { 'a.test': SLOW }), '--lane', 'relay'])
  await ask(port, 'a.test')
  const wire = await Wire.open(t, port)
  wire.send('GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await new Promise((resolve) => setTimeout(resolve, 100))
  kill('SIGTERM')
  await eventually('it drains', () => log.some(({ msg }) => msg === 'draining'))
  wire.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const text = await wire.rest()
  assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*finished[\s\S]*HTTP\/1\.1 503 Service Unavailable/)
  assert.match(text.slice(text.indexOf('503')), /\r\nConnection: close\r\n/i)
  assert.equal((await ended).code, 0)
})

test('clients that read slowly get their whole answers although their application has gone', async (t) => {
  const { port, kill, ended } = await serve(t, [await tenantFolder(t, { 'a.test': SLOW })])
  // Some of them fit into what the system buffers and the rest into the front: there the application finishes first.
  const sizes = Array.from({ length: 48 }, (_, index) => (index + 1) * 125_000)
  const wires = await Promise.all(sizes.map(async (size) => {
    const wire = await Wire.open(t, port)
    wire.send(`GET /big/${size} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    await wire.until('HTTP/1.1 200 OK')
    wire.socket.pause()
    return wire
  }))
  kill('SIGTERM')
  // Time in which everything that can be written is.
  await new Promise((resolve) => setTimeout(resolve, 500))
  const lengths = await Promise.all(wires.map(async (wire) => {
    wire.socket.resume()
    const text = await wire.rest()
    return text.length - text.indexOf('\r\n\r\n') - 4
  }))
  assert.deepEqual(lengths, sizes)
  assert.equal((await ended).code, 0)
})

test('SIGTERM always ends: a spinning tenant and an endless answer are cut after drainTimeout', async (t) => {
  const { port, kill, ended } = await serve(t, [
    await tenantFolder(t, { 'a.test': SLOW, 'b.test': SLOW }), '--drain-timeout', '300ms',
  ])
  const spinning = ask(port, 'a.test', '/spin').catch((error: unknown) => error)
  const never = await Wire.open(t, port)
  never.send('GET /never HTTP/1.1\r\nHost: b.test\r\n\r\n')
  await never.until('begun')
  const started = performance.now()
  kill('SIGTERM')
  assert.deepEqual(await ended, { code: 0, signal: null })
  assert.ok(performance.now() - started < 5000)
  assert.doesNotMatch(await never.rest(), /\r\n0\r\n/)
  await spinning
})

test('a second signal ends at once with 128 and its number', async (t) => {
  const { port, kill, ended, log } = await serve(t, [await tenantFolder(t, { 'a.test': SLOW })])
  const spinning = ask(port, 'a.test', '/spin').catch((error: unknown) => error)
  await eventually('it spins', () => log.some(({ msg }) => msg === 'context ready'))
  kill('SIGINT')
  await eventually('it drains', () => log.some(({ msg }) => msg === 'draining'))
  kill('SIGINT')
  assert.deepEqual(await ended, { code: 130, signal: null })
  await spinning
})

test('kill -9 leaves neither a process nor a listener behind', async (t) => {
  const { port, pid, kill, ended } = await serve(t, [await tenantFolder(t, { 'a.test': SLOW, 'b.test': COUNTING })])
  await Promise.all([ask(port, 'a.test'), ask(port, 'b.test')])
  kill('SIGKILL')
  await ended
  await assert.rejects(ask(port, 'a.test'), /ECONNREFUSED/)
  assert.deepEqual(childrenOf(pid), [])
})

/** Processes whose parent is, or was, `pid`. */
function childrenOf(pid: number): string[] {
  let entries: string[]
  try {
    entries = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return []
  }
  return entries.filter((name) => {
    try {
      return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'utf8'))
    } catch {
      return false
    }
  })
}

test('a port in use is one clear line and exit code 3', async (t) => {
  const blocker = net.createServer()
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
  t.after(() => blocker.close())
  const { port } = blocker.address() as net.AddressInfo
  const command = runCommand(t, ['serve', await tenantFolder(t, { 'a.test': SLOW }), '--port', String(port)])
  assert.deepEqual(await command.ended, { code: 3, signal: null })
  assert.equal(command.stderr(), `tenantry: cannot listen on 127.0.0.1:${port}: something else listens there; stop it or choose another --port\n`)
})

test('what a tenant prints is in the log under its label, and an idle server ends on its first signal', async (t) => {
  const folder = await tenantFolder(t, { 'a.test': `
    console.log('plain text'); console.error('to stderr'); console.log(JSON.stringify({ level: 40, msg: 'json', extra: 1 }))
    export default (req, res) => res.end('fine')
  ` })
  const command = await serve(t, [folder])
  await ask(command.port, 'a.test')
  const label = `a.test:${command.port}`
  for (const msg of ['plain text', 'to stderr', 'json']) {
    assert.equal((await line(command, (entry) => entry.msg === msg))['label'], label)
  }
  command.kill('SIGTERM')
  assert.deepEqual(await command.ended, { code: 0, signal: null })
})

test('many requests under way at SIGTERM are each answered whole or refused, never cut', async (t) => {
  const { port, kill, ended } = await serve(t, [await tenantFolder(t, { 'a.test': COUNTING, 'b.test': SLOW })])
  await askJson(port, 'a.test')
  const answers: Promise<{ status: number; complete: boolean }>[] = []
  const refusedToConnect = { status: 0, complete: true }
  let stopped = false
  void ended.then(() => { stopped = true })
  setTimeout(() => kill('SIGTERM'), 200)
  while (!stopped) {
    for (const host of ['a.test', 'b.test']) answers.push(ask(port, host).catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException
      // Not accepted yet when the listener closed: no byte of the request was read.
      if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return refusedToConnect
      throw error
    }))
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const all = await Promise.all(answers)
  assert.ok(all.filter(({ status }) => status === 200).length > 20)
  assert.deepEqual(all.filter(({ status, complete }) => !complete || ![0, 200, 503].includes(status)), [])
  assert.equal((await ended).code, 0)
})
