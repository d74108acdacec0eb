import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import tls from 'node:tls'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { X509Certificate } from 'node:crypto'
import { TenantryError } from '../../src/errors.ts'
import { createRuntime } from '../../src/runtime.ts'
import { eventually, Wire } from './client.ts'
import { line, runCommand, serve } from './command.ts'
import { COUNTING, openRuntime, tenantFolder } from './house.ts'
import { askSecure, askStream, CERTIFIED, connect, fingerprint, openSecureHouse, openSession, pem } from './secure.ts'
import type net from 'node:net'
import type { TestContext } from 'node:test'
import type { LogLine } from './house.ts'

const SETTINGS = JSON.stringify({ tls: { cert: 'cert.pem', key: 'key.pem' } })
const ONE = { 'index.mjs': COUNTING, 'tenant.json': SETTINGS, ...CERTIFIED }
const SITES = { 'index.mjs': COUNTING, 'tenant.json': SETTINGS, 'cert.pem': pem('sites').cert, 'key.pem': pem('sites').key }

const FACTS = `
export default (req, res) => {
  const { encrypted, servername, alpnProtocol, remoteAddress } = req.socket
  res.end(JSON.stringify({ encrypted, servername, alpn: alpnProtocol, protocol: req.socket.getProtocol?.(), remoteAddress, host: req.headers.host }))
}
`

const hasCurl = ((): boolean => {
  try {
    return execFileSync('curl', ['--version'], { encoding: 'utf8' }).includes('HTTP2')
  } catch {
    return false
  }
})()

const printOf = (name: string): string => new X509Certificate(pem(name).cert).fingerprint256

function refused(log: readonly LogLine[], code: string): LogLine | undefined {
  return log.find((line) => line['code'] === code)
}

/** What a client is told whose handshake fails. */
async function failure(t: TestContext, port: number, servername: string | undefined): Promise<string> {
  const error = await connect(t, port, servername).then(() => undefined, (reason: unknown) => reason as NodeJS.ErrnoException)
  return String(error?.code)
}

test('each server name gets the certificate of its tenant, over HTTP/1.1 and HTTP/2, and the application sees what TLS knows', async (t) => {
  const { port } = await openSecureHouse(t, { 'one.example.test': { ...ONE, 'index.mjs': FACTS }, '*.sites.example.test': SITES }, {})
  // The clients verify: another certificate than the right one would fail.
  const { text, status } = await askSecure(port, 'one.example.test')
  assert.equal(status, 200)
  assert.deepEqual(JSON.parse(text), {
    encrypted: true, servername: 'one.example.test', alpn: false, protocol: 'TLSv1.3', remoteAddress: '127.0.0.1', host: 'one.example.test',
  })
  const second = await askStream(await openSession(t, port, 'one.example.test'), 'one.example.test')
  assert.deepEqual(JSON.parse(second.text), {
    encrypted: true, servername: 'one.example.test', alpn: 'h2', protocol: 'TLSv1.3', remoteAddress: '127.0.0.1', host: 'one.example.test',
  })
  const [a, b] = await Promise.all(['a.sites.example.test', 'b.sites.example.test'].map((host) => askSecure(port, host)))
  assert.match(String(a?.text), /"group":"a\.sites\.example\.test:\d+","requests":1/)
  assert.match(String(b?.text), /"group":"b\.sites\.example\.test:\d+","requests":1/)
  assert.equal(fingerprint(await connect(t, port, 'ONE.example.test')), printOf('one'))
})

test('a server name without a certificate is refused as unrecognized, and the log says which', async (t) => {
  const { port, log } = await openSecureHouse(t, { 'one.example.test': ONE, 'bare.example.test': COUNTING }, {})
  assert.equal(await failure(t, port, 'unknown.example.test'), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
  assert.match(String(refused(log, 'ERR_HOST_NOT_ALLOWED')?.msg), /no certificate for the server name 'unknown\.example\.test'/)
  // A tenant without one of its own is no better off, nor is a name that no host can have.
  assert.equal(await failure(t, port, 'bare.example.test'), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
  assert.equal(await failure(t, port, 'a b'), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
  assert.match(await failure(t, port, undefined), /HANDSHAKE_FAILURE/)
  assert.equal((await askSecure(port, 'one.example.test')).status, 200)
})

test('a default certificate serves names without one of their own, and clients that name nothing; their Host decides', async (t) => {
  const { port } = await openSecureHouse(t, { 'one.example.test': ONE, 'standard.example.test': COUNTING }, pem('standard'))
  assert.equal(fingerprint(await connect(t, port, 'one.example.test')), printOf('one'))
  assert.equal((await askSecure(port, 'standard.example.test')).status, 200)
  const lax = { rejectUnauthorized: false }
  for (const name of ['unknown.example.test', undefined]) {
    const socket = await connect(t, port, name, { ...lax, checkServerIdentity: () => undefined })
    assert.equal(fingerprint(socket), printOf('standard'))
  }
  const strange = { servername: 'unknown.example.test', ...lax }
  assert.equal((await askSecure(port, 'unknown.example.test', '/', strange)).status, 421)
  assert.equal((await askSecure(port, 'one.example.test', '/', strange)).status, 200)
})

test('a Host that differs from the server name is resolved as ever: coalesced requests are served, others misdirected', async (t) => {
  // On a connection that was handed over, another host is misdirected: tls-lane.test.ts.
  const { port } = await openSecureHouse(t, { 'one.example.test': ONE, '*.sites.example.test': SITES }, {}, { lane: 'relay' })
  const session = await openSession(t, port, 'a.sites.example.test')
  const answers = await Promise.all(
    ['a.sites.example.test', 'b.sites.example.test', 'stranger.test', 'one.example.test'].map((host) => askStream(session, host)),
  )
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 421, 200])
  assert.match(String(answers[1]?.text), /"group":"b\.sites/)
  assert.equal((await askSecure(port, 'one.example.test', '/', { servername: 'b.sites.example.test' })).status, 200)
})

test('new certificates are for new handshakes: old connections and the context go on', async (t) => {
  const { port, runtime, folder } = await openSecureHouse(t, { 'one.example.test': ONE, 'standard.example.test': COUNTING }, {
    cert: path.join(await tenantFolder(t, { default: { 'cert.pem': pem('standard').cert, 'key.pem': pem('standard').key } }), 'default', 'cert.pem'),
    key: pem('standard').key,
  })
  const session = await openSession(t, port, 'one.example.test')
  assert.match((await askStream(session, 'one.example.test')).text, /"requests":1/)
  const { cert, key } = pem('one-renewed')
  await writeFile(path.join(folder, 'one.example.test', 'cert.pem'), cert)
  await writeFile(path.join(folder, 'one.example.test', 'key.pem'), key)
  assert.deepEqual(await runtime.refresh(), { added: [], changed: [], removed: [] })
  assert.equal(fingerprint(await connect(t, port, 'one.example.test')), printOf('one-renewed'))
  assert.match((await askStream(session, 'one.example.test')).text, /"requests":2/)
  assert.match((await askSecure(port, 'one.example.test')).text, /"requests":3/)
})

test("the server's own certificate is renewed likewise, also for clients that name nothing", async (t) => {
  const own = path.join(await tenantFolder(t, { own: { 'cert.pem': pem('standard').cert, 'key.pem': pem('standard').key } }), 'own')
  const files = { cert: path.join(own, 'cert.pem'), key: path.join(own, 'key.pem') }
  const { port, runtime } = await openSecureHouse(t, { 'one.example.test': COUNTING }, files)
  const anybody = { rejectUnauthorized: false }
  const before = await connect(t, port, undefined, anybody)
  const closed = once(before, 'close')
  const ticket = once(before, 'session')
  assert.equal(fingerprint(before), printOf('standard'))
  await Promise.all([writeFile(files.cert, pem('one').cert), writeFile(files.key, pem('one').key)])
  await runtime.refresh()
  for (const name of [undefined, 'one.example.test']) assert.equal(fingerprint(await connect(t, port, name, anybody)), printOf('one'))
  // A session begun under the old one may go on.
  const [session] = (await ticket) as [Buffer]
  assert.equal((await connect(t, port, undefined, { ...anybody, session })).isSessionReused(), true)
  before.destroy()
  await closed
})

test('a broken certificate leaves the old one in place and says so, once', async (t) => {
  const { port, runtime, folder, log } = await openSecureHouse(t, { 'one.example.test': ONE, 'two.example.test': ONE }, {})
  assert.equal((await askSecure(port, 'one.example.test')).status, 200)
  await writeFile(path.join(folder, 'one.example.test', 'key.pem'), pem('standard').key)
  await writeFile(path.join(folder, 'two.example.test', 'cert.pem'), 'no PEM')
  await runtime.refresh()
  await runtime.refresh()
  assert.equal(fingerprint(await connect(t, port, 'one.example.test')), printOf('one'))
  const warnings = log.map(({ msg }) => msg).filter((msg) => msg.includes('cannot be used'))
  assert.equal(warnings.length, 2, warnings.join('\n'))
  assert.match(String(warnings.find((msg) => msg.includes('one.example.test'))), /'.*one\.example\.test\/cert\.pem' cannot be used with its key: key values mismatch; the one before it goes on/)
})

test('a certificate that never worked is reported at the start, refuses its own name alone, and its tenant is served over HTTP', async (t) => {
  const { runtime, log } = await openRuntime(t, { 'one.example.test': { ...ONE, 'key.pem': 'secret words' }, '*.sites.example.test': SITES })
  const secure = await runtime.listen({ tls: {} })
  const { port } = secure.address() as net.AddressInfo
  await eventually('the log names the file', () => log.some(({ msg }) => msg.includes('one.example.test/cert.pem')))
  assert.ok(!JSON.stringify(log).includes('secret words'))
  assert.match(await failure(t, port, 'one.example.test'), /INTERNAL_ERROR/)
  assert.equal((await askSecure(port, 'a.sites.example.test')).status, 200)
  const plain = await runtime.listen()
  const wire = await Wire.open(t, (plain.address() as net.AddressInfo).port)
  wire.send('GET / HTTP/1.1\r\nHost: one.example.test\r\nConnection: close\r\n\r\n')
  assert.match(await wire.rest(), /^HTTP\/1\.1 200 /)
})

test('a handshake that is slow or none is closed at headerTimeout, garbage at once, and others are served', async (t) => {
  const { port, log } = await openSecureHouse(t, { 'one.example.test': ONE }, {}, { headerTimeout: 400 })
  const [silent, slow, garbage] = await Promise.all([Wire.open(t, port), Wire.open(t, port), Wire.open(t, port)])
  const hello = Buffer.from('16030101000100', 'hex')
  let sent = 0
  const dribble = setInterval(() => slow.send(hello.subarray(sent, ++sent)), 100)
  t.after(() => clearInterval(dribble))
  const started = performance.now()
  garbage.send('GET / HTTP/1.1\r\nHost: one.example.test\r\n\r\n')
  await garbage.rest()
  assert.equal((await askSecure(port, 'one.example.test')).status, 200)
  await Promise.all([silent.rest(), slow.rest()])
  const ms = performance.now() - started
  assert.ok(ms > 280 && ms < 3000, `it took ${ms} ms`)
  assert.match(String(refused(log, 'ERR_READ_TIMEOUT')?.msg), /took longer than headerTimeout/)
  assert.match(String(refused(log, 'ERR_TLS_HANDSHAKE')?.msg), /http request/)
})

test('a slow head is 408 over TLS, and an idle session of HTTP/2 that makes no stream is closed', async (t) => {
  const { port } = await openSecureHouse(t, { 'one.example.test': ONE }, {}, { headerTimeout: 400, headerMinRate: 0 })
  const socket = await connect(t, port, 'one.example.test')
  const wire = new Wire(socket)
  wire.send('GET / HTTP/1.1\r\nHo')
  assert.match(await wire.rest(), /^HTTP\/1\.1 408 /)
})

test('TLS 1.2 is spoken unless minVersion says otherwise, HTTP/2 unless it is switched off, and a session may be resumed', async (t) => {
  const { port } = await openSecureHouse(t, { 'one.example.test': ONE }, {})
  const old = await connect(t, port, 'one.example.test', { maxVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'] })
  assert.equal(old.getProtocol(), 'TLSv1.2')
  assert.equal(old.alpnProtocol, 'h2')
  await assert.rejects(connect(t, port, 'one.example.test', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }))
  const first = await connect(t, port, 'one.example.test')
  const [session] = (await once(first, 'session')) as [Buffer]
  assert.equal((await connect(t, port, 'one.example.test', { session })).isSessionReused(), true)

  const strict = await openSecureHouse(t, { 'one.example.test': ONE }, { minVersion: 'TLSv1.3', http2: false })
  await assert.rejects(connect(t, strict.port, 'one.example.test', { maxVersion: 'TLSv1.2' }))
  const plain = await connect(t, strict.port, 'one.example.test', { ALPNProtocols: ['h2', 'http/1.1'] })
  assert.equal(plain.alpnProtocol, 'http/1.1')
})

test('a draining server finishes streams, says goodbye to idle connections, and waits for no handshake', async (t) => {
  const app = "export default (req, res) => { res.write('half '); setTimeout(() => res.end('whole'), 300) }"
  const { port, runtime } = await openSecureHouse(t, { 'one.example.test': { ...ONE, 'index.mjs': app } }, {}, { drainTimeout: 10_000 })
  const [busy, idle, keepAlive, silent] = await Promise.all([
    openSession(t, port, 'one.example.test'),
    openSession(t, port, 'one.example.test'),
    connect(t, port, 'one.example.test'),
    Wire.open(t, port),
  ])
  const stream = busy.request({ ':path': '/', ':authority': 'one.example.test' })
  await once(stream, 'response')
  const goodbye = once(busy, 'goaway')
  const closed = Promise.all([once(idle, 'close'), once(keepAlive, 'close'), silent.rest()])
  keepAlive.resume()
  const started = performance.now()
  const closing = runtime.close()
  let got = ''
  for await (const part of stream.setEncoding('utf8')) got += String(part)
  assert.equal(got, 'half whole')
  await Promise.all([goodbye, closed, closing])
  assert.ok(performance.now() - started < 5000, 'nobody was waited for until drainTimeout')
})

test('connections beyond maxConnections are closed before their handshake', async (t) => {
  const { port, log } = await openSecureHouse(t, { 'one.example.test': ONE }, {}, { maxConnections: 1 })
  const first = await connect(t, port, 'one.example.test')
  const wire = await Wire.open(t, port)
  await wire.rest()
  assert.ok(refused(log, 'ERR_CONNECTION_LIMIT') !== undefined)
  assert.equal(first.destroyed, false)
})

test('upgrades pass, over HTTP/1.1 and as extended CONNECT of HTTP/2', async (t) => {
  const app = `
export default (req, res) => res.end('plain')
import { createServer } from 'node:http'
const server = createServer()
server.on('upgrade', (req, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n')
  socket.pipe(socket)
})
server.listen(1)
`
  const { port } = await openSecureHouse(t, { 'one.example.test': { ...ONE, 'index.mjs': app } }, {})
  const wire = new Wire(await connect(t, port, 'one.example.test'))
  wire.send('GET / HTTP/1.1\r\nHost: one.example.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  await wire.until('\r\n\r\n')
  wire.send('over TLS')
  assert.match(await wire.until('over TLS'), /^HTTP\/1\.1 101 /)
  const session = await openSession(t, port, 'one.example.test')
  const stream = session.request({ ':method': 'CONNECT', ':protocol': 'echo', ':path': '/', ':authority': 'one.example.test' })
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>]
  assert.equal(head[':status'], 200)
  stream.write('over a stream')
  const [part] = (await once(stream, 'data')) as [Buffer]
  assert.equal(String(part), 'over a stream')
  stream.close()
})

test('curl is served over HTTP/2 and HTTP/1.1, with a certificate that it verifies', { skip: !hasCurl }, async (t) => {
  const { port, folder } = await openSecureHouse(t, { 'one.example.test': { ...ONE, 'index.mjs': FACTS } }, {})
  for (const [flag, alpn] of [['--http2', 'h2'], ['--http1.1', 'http/1.1']] as const) {
    const { stdout } = await promisify(execFile)('curl', [
      '--silent', flag, '--cacert', path.join(folder, 'one.example.test', 'cert.pem'), '--resolve', `one.example.test:${port}:127.0.0.1`,
      `https://one.example.test:${port}/`,
    ])
    assert.equal((JSON.parse(stdout) as { alpn: string }).alpn, alpn)
  }
})

test('Expect: 100-continue and trailers pass over HTTP/2', async (t) => {
  const app = `
export default async (req, res) => {
  let body = ''
  for await (const part of req) body += part
  res.setHeader('Trailer', 'x-sum')
  res.write(body)
  res.addTrailers({ 'x-sum': String(body.length) })
  res.end()
}
`
  const { port } = await openSecureHouse(t, { 'one.example.test': { ...ONE, 'index.mjs': app } }, {})
  const session = await openSession(t, port, 'one.example.test')
  const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'one.example.test', expect: '100-continue' })
  await once(stream, 'continue')
  stream.end('five!')
  const trailers = once(stream, 'trailers')
  assert.equal(await text(stream), 'five!')
  assert.equal(((await trailers) as [Record<string, string>])[0]['x-sum'], '5')
})

test('two hundred names that nobody has, at once, stop none of the served ones and fill no log', async (t) => {
  const { port, log } = await openSecureHouse(t, { 'one.example.test': ONE }, {})
  const strangers = Array.from({ length: 200 }, (_, index) => failure(t, port, `n${index}.stranger.test`))
  assert.equal((await askSecure(port, 'one.example.test')).status, 200)
  assert.deepEqual([...new Set(await Promise.all(strangers))], ['ERR_SSL_TLSV1_UNRECOGNIZED_NAME'])
  // A client must not be able to fill the disk.
  assert.ok(log.filter((line) => line['code'] === 'ERR_HOST_NOT_ALLOWED').length <= 10)
})

test('a tenants function is asked by server name, once, and only for names that are allowed', async (t) => {
  const folder = await tenantFolder(t, { app: ONE })
  const asked: string[] = []
  const runtime = createRuntime({
    tenants: async (host) => {
      asked.push(host)
      return { entry: path.join(folder, 'app', 'index.mjs'), tls: pem('one') }
    },
    allowedHosts: ['*.example.test'], logger: false,
  })
  t.after(() => runtime.destroy())
  const { port } = (await runtime.listen({ tls: {} })).address() as net.AddressInfo
  const answers = await Promise.all([1, 2, 3].map(() => askSecure(port, 'one.example.test')))
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200])
  assert.equal(await failure(t, port, 'stranger.test'), 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
  assert.deepEqual(asked, ['one.example.test'])
})

test('the command speaks TLS, says so, checks certificates, and takes new ones on SIGHUP and under --watch', async (t) => {
  const folder = await tenantFolder(t, { 'one.example.test': ONE, 'standard.example.test': COUNTING })
  const own = path.resolve('test/fixtures/tls/standard')
  const flags = ['--tls-cert', `${own}.cert.pem`, '--tls-key', `${own}.key.pem`, '--processes', '0']
  const command = await serve(t, [folder, '--watch', ...flags])
  const { port } = command
  assert.match(command.url, /^https:/)
  const curl = `curl --resolve 'one.example.test:${port}:127.0.0.1' https://one.example.test:${port}/\n`
  await eventually('the report says how to ask', () => command.stderr().includes(curl))
  assert.match((await askSecure(port, 'one.example.test')).text, /"requests":1/)
  assert.equal((await askSecure(port, 'standard.example.test')).status, 200)
  const shown = async (): Promise<string> => fingerprint(await connect(t, port, 'one.example.test'))
  const place = async (name: string): Promise<void> => {
    for (const kind of ['cert', 'key'] as const) await writeFile(path.join(folder, 'one.example.test', `${kind}.pem`), pem(name)[kind])
  }
  await place('one-renewed')
  await eventually('the watch has seen it', async () => (await shown()) === printOf('one-renewed'))
  await line(command, ({ msg }) => msg === 'tenants read again')
  await place('one')
  const lines = command.log.length
  command.kill('SIGHUP')
  await line(command, ({ msg }) => msg === 'tenants read again', lines)
  assert.equal(await shown(), printOf('one'))
  assert.match((await askSecure(port, 'one.example.test')).text, /"requests":2/)

  const check = runCommand(t, ['check', folder, '--json', ...flags])
  assert.equal((await check.ended).code, 0)
  await place('standard')
  const wrong = runCommand(t, ['check', folder, ...flags])
  assert.equal((await wrong.ended).code, 2)
  assert.match(wrong.stderr(), /^tenantry: one\.example\.test: its certificate is for DNS:standard\.example\.test, and not for one\.example\.test\n$/)
  const missing = runCommand(t, ['serve', folder, '--tls-cert', '/nowhere.pem', '--tls-key', '/nowhere.pem'])
  assert.equal((await missing.ended).code, 2)
  assert.equal(missing.stderr(), "tenantry: '/nowhere.pem' cannot be read: ENOENT\n")
})

test('wrong settings are refused before anything listens, and no message shows a key', async (t) => {
  const { runtime } = await openRuntime(t, { 'one.example.test': COUNTING })
  const listen = (given: unknown): Promise<unknown> => runtime.listen({ tls: given as never })
  const { cert, key } = pem('one')
  for (const [given, message] of [
    [true, /^tls is true; write \{ cert, key \}, or \{\} for/],
    [{ cert }, /^tls\.key is missing/],
    [{ cert, key, crt: '' }, /^tls has the unknown setting 'crt' \(did you mean cert\?\)/],
    [{ cert, key: 7 }, /^tls\.key is neither; write the path of a PEM file, or PEM itself/],
    [{ http2: 'no' }, /^tls\.http2 is 'no'; write true or false/],
    [{ minVersion: 'SSLv3' }, /^tls\.minVersion is 'SSLv3'; write TLSv1\.2 or TLSv1\.3/],
    [{ cert: '/nowhere/cert.pem', key }, /^'\/nowhere\/cert\.pem' cannot be read: ENOENT/],
    [{ cert, key: pem('standard').key }, /^the certificate cannot be used with its key: key values mismatch/],
    [{ cert: '/dev/zero', key }, /^'\/dev\/zero' cannot be read: it is no file/],
  ] as const) {
    await assert.rejects(listen(given), (error: unknown) => {
      assert.ok(error instanceof TenantryError)
      assert.match(error.message, message)
      return !error.message.includes('PRIVATE')
    })
  }
  assert.ok(tls.createSecureContext({ cert, key }) !== undefined)
})
