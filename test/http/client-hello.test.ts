import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { readClientHello } from '../../src/http/client-hello.ts'
import { pem } from '../behaviour/secure.ts'
import type { AddressInfo } from 'node:net'

const NAME = 'one.example.test'

/** What a client sends first, taken from the wire. */
async function firstOf(start: (port: number) => { stop(): void }): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = start((server.address() as AddressInfo).port)
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  let got = Buffer.alloc(0)
  for await (const part of socket.on('error', () => {})) {
    got = Buffer.concat([got, part as Buffer])
    if (readClientHello(got) !== 'partial') break
  }
  client.stop()
  socket.destroy()
  server.close()
  return got
}

function ofNode(options: tls.ConnectionOptions): Promise<Buffer> {
  return firstOf((port) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }).on('error', () => {})
    return { stop: () => socket.destroy() }
  })
}

function ofProgram(command: string, args: (port: number) => string[]): Promise<Buffer> {
  return firstOf((port) => {
    const child = spawn(command, args(port), { stdio: 'ignore' })
    return { stop: () => child.kill('SIGKILL') }
  })
}

async function has(command: string, flag: string): Promise<boolean> {
  return await promisify(execFile)(command, [flag]).then(() => true, () => false)
}

// A builder of messages, for what no client at hand sends.
const sized = (size: 1 | 2 | 3, ...parts: (Buffer | number[])[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const head = Buffer.alloc(size)
  head.writeUIntBE(body.length, 0, size)
  return Buffer.concat([head, body])
}
const extension = (type: number, ...parts: (Buffer | number[])[]): Buffer =>
  Buffer.concat([Buffer.from([type >> 8, type & 255]), sized(2, ...parts)])
const nameList = (...names: (string | [number, string])[]): Buffer =>
  sized(2, ...names.map((name) => {
    const [type, text] = typeof name === 'string' ? [0, name] : name
    return Buffer.concat([Buffer.from([type]), sized(2, Buffer.from(text, 'latin1'))])
  }))
const sni = (...names: (string | [number, string])[]): Buffer => extension(0, nameList(...names))
const alpn = (...names: string[]): Buffer => extension(16, sized(2, ...names.map((name) => sized(1, Buffer.from(name, 'latin1')))))

function hello(extensions: readonly Buffer[] | undefined, { session = 32, suites = [0x13, 1, 0x13, 2], compression = [0], version = [3, 3] } = {}): Buffer {
  const body = [
    version, Buffer.alloc(32, 7), sized(1, Buffer.alloc(session, 9)), sized(2, suites), sized(1, compression),
    ...(extensions === undefined ? [] : [sized(2, ...extensions)]),
  ]
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(2, [1], sized(3, ...body))])
}

/** As today's browsers send it: GREASE first and last, a post-quantum key share, an encrypted hello that may be one. */
const BROWSER = hello([
  extension(0x0a0a), extension(0xfe0d, Buffer.alloc(186, 3)), alpn('h2', 'http/1.1'), sni(NAME), extension(51, Buffer.alloc(1263, 5)),
  extension(45, [1, 1]), extension(43, [6, 0x8a, 0x8a, 3, 4, 3, 3]), extension(27, [2, 0, 2]), extension(0x1a1a, [0]),
], { suites: [0x2a, 0x2a, 0x13, 1, 0x13, 2, 0xc0, 0x2b] })

const hellos: Buffer[] = [BROWSER]

before(async () => {
  hellos.push(
    await ofNode({ servername: NAME }),
    await ofNode({ servername: NAME, ALPNProtocols: ['h2', 'http/1.1'], maxVersion: 'TLSv1.2' }),
    await ofNode({ minVersion: 'TLSv1.3' }),
  )
})

after(() => { hellos.length = 0 })

test('what clients send is read: their server name and their protocols', async () => {
  assert.deepEqual(readClientHello(BROWSER), { serverName: NAME, protocols: ['h2', 'http/1.1'] })
  assert.deepEqual(readClientHello(await ofNode({ servername: NAME })), { serverName: NAME, protocols: [] })
  assert.deepEqual(readClientHello(await ofNode({})), { serverName: undefined, protocols: [] })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const bytes = await ofNode({ servername: NAME, ALPNProtocols: ['http/1.1', 'acme-tls/1'], maxVersion })
    assert.deepEqual(readClientHello(bytes), { serverName: NAME, protocols: ['http/1.1', 'acme-tls/1'] })
  }
  if (await has('openssl', 'version')) {
    const bytes = await ofProgram('openssl', (port) => ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', NAME, '-alpn', 'h2'])
    assert.deepEqual(readClientHello(bytes), { serverName: NAME, protocols: ['h2'] })
  }
  if (await has('curl', '--version')) {
    const bytes = await ofProgram('curl', (port) => ['-k', '--http1.1', '--resolve', `${NAME}:${port}:127.0.0.1`, `https://${NAME}:${port}/`])
    assert.deepEqual(readClientHello(bytes), { serverName: NAME, protocols: ['http/1.1'] })
  }
})

test('a message without extensions names nothing, and what follows a message is not looked at', () => {
  assert.deepEqual(readClientHello(hello(undefined)), { serverName: undefined, protocols: [] })
  assert.deepEqual(readClientHello(hello([])), { serverName: undefined, protocols: [] })
  for (const bytes of hellos) assert.deepEqual(readClientHello(Buffer.concat([bytes, Buffer.from('GET / ')])), readClientHello(bytes))
})

test('every beginning of a message is partial, and nothing else is', () => {
  for (const bytes of hellos) {
    for (let length = 0; length < bytes.length; length++) assert.equal(readClientHello(bytes.subarray(0, length)), 'partial', `${length} bytes`)
  }
  for (const text of ['GET / HTTP/1.1\r\n', 'PRI * HTTP/2.0', '\x16\x02', '\x15\x03\x01', '\x80\x2e\x01', '\x16\x03\x01\x00\x05\x02']) {
    assert.equal(readClientHello(Buffer.from(text, 'latin1')), undefined, JSON.stringify(text))
  }
})

test('what is unusual is left to others', () => {
  const inTwoRecords = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([22, 3, 1]), sized(2, bytes.subarray(5, 60)), Buffer.from([22, 3, 1]), sized(2, bytes.subarray(60))])
  const wrong: Readonly<Record<string, Buffer>> = {
    'two names in one list': hello([sni(NAME, 'two.example.test')]),
    'two lists of names': hello([sni(NAME), sni(NAME)]),
    'two lists of protocols': hello([alpn('h2'), alpn('http/1.1')]),
    'another kind of name': hello([sni([1, NAME])]),
    'an empty name': hello([sni('')]),
    'no name in a list': hello([sni()]),
    'a name with a NUL': hello([sni('one.example.test\0.evil.test')]),
    'a name with a space': hello([sni('a b')]),
    'a name beyond ASCII': hello([sni('\xfc.test')]),
    'a name of 256 characters': hello([sni('a'.repeat(256))]),
    'something behind the list of names': hello([extension(0, nameList(NAME), [0])]),
    'an empty protocol': hello([alpn('')]),
    'no protocol': hello([alpn()]),
    'something behind the extensions': Buffer.concat([Buffer.from([22, 3, 1]), sized(2, [1], sized(3, hello([sni(NAME)]).subarray(9), [0]))]),
    'a record in two': inTwoRecords(hello([sni(NAME)])),
    'a session of 33 bytes': hello([sni(NAME)], { session: 33 }),
    'half a cipher suite': hello([sni(NAME)], { suites: [0x13, 1, 0x13] }),
    'no cipher suite': hello([sni(NAME)], { suites: [] }),
    'no compression': hello([sni(NAME)], { compression: [] }),
    'SSL 2': hello([sni(NAME)], { version: [2, 0] }),
    'a record longer than any': Buffer.from([22, 3, 1, 0x40, 1]),
    'an empty record': Buffer.from([22, 3, 1, 0, 0]),
  }
  for (const [what, bytes] of Object.entries(wrong)) assert.equal(readClientHello(bytes), undefined, what)
})

test('whatever the bytes are, it never throws and reads none beyond them', () => {
  const watched = (bytes: Uint8Array): Uint8Array => new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) assert.ok(Number(key) < target.length, `byte ${key} of ${target.length}`)
      return Reflect.get(target, key, target) as unknown
    },
  })
  const check = (bytes: Uint8Array): void => {
    const answer = readClientHello(watched(bytes))
    assert.ok(answer === undefined || answer === 'partial' || (answer.serverName?.length ?? 1) <= 255)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 2000 })
  const mutation = fc.tuple(fc.nat(), fc.nat(255), fc.nat())
  fc.assert(fc.property(fc.nat(3), fc.array(mutation, { minLength: 1, maxLength: 8 }), (index, mutations) => {
    const bytes = Buffer.from(hellos[index] as Buffer)
    for (const [at, value] of mutations) bytes[at % bytes.length] = value
    const [, , cut] = mutations[0] as [number, number, number]
    check(bytes)
    check(bytes.subarray(0, cut % (bytes.length + 1)))
  }), { numRuns: 3000 })
})

test('a name that is read is the name that TLS itself reads, or TLS refuses the message', async (t) => {
  const names: string[] = []
  const context = tls.createSecureContext(pem('one'))
  const server = tls.createServer({
    SNICallback(name, done) {
      names.push(name)
      done(null, context)
    },
  }, () => {})
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const judged = async (bytes: Buffer): Promise<string | undefined> => {
    names.length = 0
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    socket.end(bytes)
    socket.resume()
    await once(socket, 'close')
    return names[0]
  }
  assert.equal(await judged(hellos[1] as Buffer), NAME)
  let read = 0
  const mutation = fc.tuple(fc.nat(), fc.nat(255))
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 2 }), mutation, async (index, [at, value]) => {
    const bytes = Buffer.from(hellos[index] as Buffer)
    // Where the extensions are: behind the random bytes and the session.
    bytes[76 + (at % (bytes.length - 76))] = value
    const ours = readClientHello(bytes)
    if (ours === undefined || ours === 'partial' || ours.serverName === undefined) return
    read++
    const theirs = await judged(bytes)
    assert.ok(theirs === undefined || theirs === ours.serverName, `${theirs} is not ${ours.serverName}`)
  }), { numRuns: 300 })
  assert.ok(read > 30, `${read} messages were compared`)
})
