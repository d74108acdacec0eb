import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { field, fields, Flag, frame, hello, setting, Type, uint32 } from './http2-frames.ts'
import { many, Raw } from './raw.ts'
import { Siege, skip, sleep } from './siege.ts'

let siege: Siege
let port = 0
before(async () => {
  if (skip !== false) return
  siege = await Siege.open({ args: [fileURLToPath(new URL('http2-server.js', import.meta.url))] })
  port = Number(siege.log.find(({ msg }) => msg === 'listening')?.['http2'])
})
after(() => siege?.close())

const CLIENTS = 8
const CANCEL = uint32(8)
const INITIAL_WINDOW = 4

/** The client's streams have odd numbers. */
const streams = (count: number, make: (stream: number) => Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(2 * index + 1)))
const get = (path: string) => (stream: number): Buffer =>
  frame(Type.headers, Flag.endHeaders | Flag.endStream, stream, fields('GET', path))
const times = (count: number, bytes: Uint8Array): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))

/** Frames after the preface; how they come to be more than anybody should send. */
const FLOODS: Readonly<Record<string, Uint8Array>> = {
  'rapid resets': streams(300, (stream) => Buffer.concat([get('/hang')(stream), frame(Type.reset, Flag.none, stream, CANCEL)])),
  'resets of uploads': streams(100, (stream) => Buffer.concat([
    frame(Type.headers, Flag.endHeaders, stream, fields('POST', '/echo')),
    frame(Type.data, Flag.none, stream, new Uint8Array(1000)), frame(Type.reset, Flag.none, stream, CANCEL),
  ])),
  'more streams than are allowed': streams(200, get('/hang')),
  'a head that does not end': Buffer.concat([
    frame(Type.headers, Flag.endStream, 1, fields('GET', '/')), times(3000, frame(Type.continuation, Flag.none, 1, field('a', 'b'.repeat(1000)))),
  ]),
  'empty continuations': Buffer.concat([frame(Type.headers, Flag.endStream, 1, fields('GET', '/')), times(50_000, frame(Type.continuation, Flag.none, 1))]),
  'a table that is referred to': streams(50, (stream) => frame(Type.headers, Flag.endHeaders | Flag.endStream, stream, Buffer.concat([
    fields('GET', '/'), field('bomb', 'x'.repeat(3000), true), new Uint8Array(10_000).fill(0x80 | 62),
  ]))),
  'thousands of fields': streams(20, (stream) => frame(Type.headers, Flag.endHeaders | Flag.endStream, stream, Buffer.concat([fields('GET', '/'), times(3000, field('a', 'b'))]))),
  'pings': times(50_000, frame(Type.ping, Flag.none, 0, new Uint8Array(8))),
  'settings': times(50_000, frame(Type.settings, Flag.none, 0, setting(INITIAL_WINDOW, 65_535))),
  'priorities': streams(50_000, (stream) => frame(Type.priority, Flag.none, stream, new Uint8Array(5))),
  'empty data': Buffer.concat([frame(Type.headers, Flag.endHeaders, 1, fields('POST', '/read')), times(50_000, frame(Type.data, Flag.none, 1))]),
  'window updates': times(50_000, frame(Type.windowUpdate, Flag.none, 0, uint32(1))),
}

for (const [name, frames] of Object.entries(FLOODS)) {
  test(`HTTP/2: a flood of ${name} is cut or borne`, { skip }, async (t) => {
    // One in two does not read what comes back.
    const flood = async (): Promise<void> => {
      await many(CLIENTS, CLIENTS, async (index) => {
        const raw = await Raw.open(port, index % 2 === 0)
        raw.send(hello())
        raw.send(frames)
        await Promise.race([raw.closed, sleep(400)])
        raw.leave(index % 4 < 2 ? 'end' : 'reset')
        await raw.closed
      })
    }
    await siege.withstands(t, { warmUp: flood, attack: flood, saturates: true })
  })
}

test('HTTP/2: answers that no window lets out are held, and let go with their client', { skip }, async (t) => {
  const attack = async (): Promise<void> => {
    await many(CLIENTS, CLIENTS, async () => {
      const raw = await Raw.open(port)
      raw.send(Buffer.concat([hello(setting(INITIAL_WINDOW, 0)), streams(20, get('/endless')), streams(20, get('/pieces'))]))
      await sleep(600)
      raw.leave('reset')
      await raw.closed
    })
  }
  await siege.withstands(t, { warmUp: attack, attack })
})

test('HTTP/2: a client may leave at every byte of a connection', { skip }, async (t) => {
  const whole = Buffer.concat([
    hello(setting(INITIAL_WINDOW, 65_535)), get('/pieces')(1), frame(Type.headers, Flag.endHeaders, 3, fields('POST', '/echo')),
    frame(Type.data, Flag.endStream, 3, Buffer.from('hello')), frame(Type.settings, Flag.ack, 0),
  ])
  const served = await Raw.open(port)
  served.send(whole)
  assert.ok(await served.until('hello') && await served.until('three'), 'the whole of it is served')
  served.leave()
  const attack = async (): Promise<void> => {
    await many(2 * whole.length, 20, async (index) => {
      const raw = await Raw.open(port)
      raw.send(whole.subarray(0, index >> 1))
      await new Promise((resolve) => { setImmediate(resolve) })
      raw.leave(index % 2 === 0 ? 'end' : 'reset')
      await raw.closed
    })
  }
  await siege.withstands(t, { warmUp: attack, attack })
})
