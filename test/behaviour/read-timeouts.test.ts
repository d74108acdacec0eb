import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { readDeadline } from '../../src/connection/read-deadline.ts'
import { askJson, Wire } from './client.ts'
import { openHouse } from './house.ts'
import type { TestContext } from 'node:test'
import type { ReadLimits } from '../../src/connection/read-deadline.ts'
import type { RuntimeOptions } from '../../src/options.ts'

/** One slow client, as it was recorded against Apache's mod_reqtimeout. */
interface Recorded {
  readonly id: string
  readonly config: string
  readonly stage: 'header' | 'body' | 'keepalive'
  readonly secondsUntilServerClosed: number
  readonly statusesSent: readonly number[]
}

/** What the client of that name sends, and what it gets from us. */
interface Play {
  /** Seconds and text, as often as the recorded client sent it; so that no byte comes at the moment of a cut. */
  readonly sends: readonly (readonly [at: number, text: string])[]
  /** When the measured stage begins: seconds. */
  readonly from?: number
  /** Bytes that count for it, where they are not all that is sent from then on. */
  readonly uncounted?: number
  readonly statuses: readonly number[]
  /** Where it differs from Apache, and why. */
  readonly why?: string
  /** The client ends its half. */
  readonly finAt?: number
  /** Seconds until we close where the rule does not say it; null: we do not. */
  readonly closes?: number | null
}

const LINE = 'GET /aaa HTTP/1.1\r\n'
const post = (length: number, path = '/'): string => `POST ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${length}\r\n\r\n`
const every = (seconds: number, text: string, times = 20, from = 0): (readonly [number, string])[] =>
  Array.from({ length: times }, (_, index) => [from + index * seconds, text] as const)
const header = (bytes: number): string => `X-A: ${'a'.repeat(bytes - 7)}\r\n`
const SWALLOWED = 'Apache lets the application answer; a client that is too slow gets 408 from us, whatever the application does'

const PLAYS: Readonly<Record<string, Play>> = {
  'h02-reqline-1B-per-500ms': { sends: [[0, 'G'], ...'ET /aaaaaaaa'.split('').map((byte, index) => [(index + 1) * 0.5, byte] as const)], statuses: [] },
  'h03-hdr-20B-per-500ms': { sends: [[0, LINE], ...every(0.5, header(20))], statuses: [408] },
  'h05-hdr-50B-per-500ms': { sends: [[0, LINE], ...every(0.5, header(50))], statuses: [408] },
  'h07-burst-50B-then-silent': { sends: [[0, LINE + header(40).slice(0, 31)]], statuses: [408] },
  'h09-late-complete': {
    sends: [[0, 'GET / HTT'], [0.5, 'P/1.1\r\nHost: a.t'], [1, 'est\r\nConnection: cl'], [1.5, 'ose\r\n\r\n']],
    statuses: [200], closes: 1.5,
  },
  'h12-disabled': { sends: [[0, 'G']], statuses: [], closes: null, why: "0 is off; Apache's core Timeout has no counterpart" },
  'b01-silent': { sends: [[0, post(1000)]], statuses: [408], why: 'an embedded Apache leaves the answer to the application' },
  'b02-1B-per-500ms': { sends: [[0, post(1000)], ...every(0.5, 'x')], statuses: [408], why: SWALLOWED },
  'b03-20B-per-500ms': { sends: [[0, post(1000)], ...every(0.5, 'x'.repeat(20))], statuses: [408], why: SWALLOWED },
  'b04-30B-per-500ms': {
    sends: [[0, post(600).replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')], ...every(0.5, 'x'.repeat(30), 20, 0.5)],
    statuses: [200], closes: 10,
  },
  'b07-burst-later': { sends: [[0, post(1000)], [0.3, 'x'.repeat(200)]], statuses: [408], why: SWALLOWED },
  'b09-swallow': { sends: [[0, post(1000, '/swallow') + 'x'.repeat(10)]], statuses: [408], why: SWALLOWED },
  'b11-chunked': {
    sends: [[0, 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n']],
    statuses: [408], why: `${SWALLOWED}; and the framing of chunks does not count as body`, uncounted: 5,
  },
  'b14-daemon-partial': { sends: [[0, post(1000)], [0.3, 'x'.repeat(100)]], statuses: [408] },
  'b15-daemon-stream': {
    sends: [[0, post(1000, '/stream') + 'x'.repeat(40)]],
    statuses: [200], why: 'the answer has begun, so it is truncated',
  },
  'b17-client-closes': {
    sends: [[0, post(1000) + 'x'.repeat(10)]], finAt: 0.3, closes: 0.3,
    statuses: [400], why: "node:http's parser refuses a message that ends early",
  },
  'k02-idle-then-dribble': { sends: [[0, 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'], [3, 'G']], from: 3, statuses: [200] },
  'k03-second-slow-body': {
    sends: [[0, 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'], [0.5, post(1000)]], from: 0.5,
    statuses: [200, 408], why: SWALLOWED,
  },
  'h21-silly-minrate': { sends: [[0, LINE], ...every(0.5, header(400), 4)], statuses: [408] },
  'h22-max0': { sends: [[0, LINE], ...every(0.5, header(20))], statuses: [408] },
  'h23-burst-then-silent-in-two': { sends: [[0, LINE + header(50).slice(0, 31)], [1, 'a'.repeat(50)]], statuses: [408] },
  'h24-complete-line-then-silent': { sends: [[0, LINE + header(81)]], statuses: [408] },
}

/** Says how a body came, and what the application saw of one that did not. */
const APP = `
const seen = []
export default async (req, res) => {
  if (req.url === '/seen') return void res.end(JSON.stringify(seen))
  req.on('aborted', () => seen.push('aborted'))
  let bytes = 0
  try {
    for await (const chunk of req) {
      bytes += chunk.length
      if (req.url === '/stream') res.write('got ' + bytes)
    }
  } catch ({ name, code, message, bytesReceived, bytesExpected }) {
    seen.push({ name, code, message, bytesReceived, bytesExpected })
    if (req.url !== '/swallow') throw new Error('not expected')
  }
  res.end(String(bytes))
}
process.on('unhandledRejection', () => {})
`

const cases = JSON.parse(readFileSync('test/fixtures/oracle/read-timeouts.json', 'utf8')) as readonly Recorded[]

/** `header=2-4,MinRate=50 body=2,MinRate=50` in our options; what Apache calls 0 is off here, too. */
function optionsOf(config: string): Partial<RuntimeOptions> {
  const limits = (stage: string): ReadLimits => {
    const match = new RegExp(`${stage}=(\\d+)(?:-(\\d+))?(?:,MinRate=(\\d+))?`).exec(config)
    const [timeout, maxTimeout, minRate] = [1, 2, 3].map((group) => Number(match?.[group] ?? 0)) as [number, number, number]
    return { timeout: timeout * 1000, maxTimeout: maxTimeout * 1000, minRate }
  }
  const [head, body] = [limits('header'), limits('body')]
  return {
    headerTimeout: head.timeout, headerMaxTimeout: head.maxTimeout, headerMinRate: head.minRate,
    bodyTimeout: body.timeout, bodyMaxTimeout: body.maxTimeout, bodyMinRate: body.minRate,
  }
}

/** Seconds until the rule closes the connection: its words, applied to what the client sends. */
function ruleCloses({ stage }: Recorded, options: Partial<RuntimeOptions>, { sends, from = 0, uncounted = 0 }: Play): number {
  const limits = (stage === 'header' || from === 3
    ? { timeout: options.headerTimeout, maxTimeout: options.headerMaxTimeout, minRate: options.headerMinRate }
    : { timeout: options.bodyTimeout, maxTimeout: options.bodyMaxTimeout, minRate: options.bodyMinRate }) as ReadLimits
  let bytes = -uncounted
  for (const [at, text] of sends) {
    if (at * 1000 >= readDeadline(limits, from * 1000, Math.max(0, bytes))) break
    const end = text.indexOf('\r\n\r\n')
    if (at >= from) bytes += end === -1 ? text.length : text.length - end - 4
  }
  return readDeadline(limits, from * 1000, Math.max(0, bytes)) / 1000
}

/** Sends as the recorded client did; resolves with the seconds until we closed, or undefined after `patience` of them. */
async function play(t: TestContext, port: number, { sends, finAt }: Play, patience: number): Promise<{ seconds: number | undefined; text: string }> {
  const wire = await Wire.open(t, port)
  const started = performance.now()
  const timers = sends.map(([at, text]) => setTimeout(() => {
    if (!wire.ended) wire.send(text)
  }, at * 1000))
  if (finAt !== undefined) timers.push(setTimeout(() => wire.socket.end(), finAt * 1000))
  let patienceTimer: NodeJS.Timeout | undefined
  const late = new Promise<'open'>((resolve) => { patienceTimer = setTimeout(() => resolve('open'), patience * 1000) })
  const over = await Promise.race([wire.rest(), late])
  clearTimeout(patienceTimer)
  for (const timer of timers) clearTimeout(timer)
  const seconds = over === 'open' ? undefined : (performance.now() - started) / 1000
  wire.socket.destroy()
  return { seconds, text: wire.text }
}

test('each recorded client of mod_reqtimeout meets the same rule, at D ± 250 ms', { concurrency: true }, async (t) => {
  const ports = new Map<string, number>()
  for (const config of new Set(cases.map(({ config }) => config))) {
    const { port } = await openHouse(t, { 'a.test': APP }, { applicationGroup: `slow-${ports.size}`, ...optionsOf(config) })
    ports.set(config, port)
    await askJson(port, 'a.test', '/seen')
  }
  // This process is client and server: what its own loop stood still is nobody's lateness.
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  t.after(() => delay.disable())
  await Promise.all(cases.map((recorded) => t.test(recorded.id, async () => {
    const scene = PLAYS[recorded.id]
    assert.ok(scene !== undefined, 'a recorded case without its client')
    const expected = scene.closes === undefined ? ruleCloses(recorded, optionsOf(recorded.config), scene) : scene.closes
    const { seconds, text } = await play(t, ports.get(recorded.config) as number, scene, 12)
    const slack = 0.25 + delay.max / 1e9
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    assert.deepEqual(statuses, scene.statuses)
    if (scene.why === undefined) assert.deepEqual(statuses, recorded.statusesSent)
    if (expected === null) return assert.equal(seconds, undefined, 'it was closed')
    assert.ok(seconds !== undefined, 'it was not closed')
    assert.ok(Math.abs(seconds - expected) <= slack, `closed after ${seconds} s, and the rule says ${expected} s`)
    const off = Math.abs(seconds - recorded.secondsUntilServerClosed)
    assert.ok(off <= 1.3 + delay.max / 1e9, `closed after ${seconds} s, and Apache after ${recorded.secondsUntilServerClosed} s`)
    if (statuses.at(-1) === 408) assert.match(text, /\r\nConnection: close\r\n/i)
  })))
  assert.deepEqual(Object.keys(PLAYS).sort(), cases.map(({ id }) => id).sort())
  const seen = await askJson(ports.get(cases[0]?.config as string) as number, 'a.test', '/seen') as unknown as readonly unknown[]
  assert.deepEqual(seen.filter((entry) => (entry as { bytesReceived?: number }).bytesReceived === 200), [{
    name: 'ReadTimeoutError', code: 'ERR_READ_TIMEOUT', bytesReceived: 200, bytesExpected: 1000,
    message: 'The body came too slowly: 200 of 1000 bytes were received',
  }])
  assert.ok(seen.includes('aborted'))
})
