import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { systemClock } from '../../src/clock.ts'
import type { LiveContext } from '../../src/context/live-context.ts'
import { startThread } from '../../src/context/thread.ts'
import { subscribe } from '../../src/events.ts'
import { openHead } from '../wire/ends.ts'
import type { TestContext } from 'node:test'
import type { ContextLimits, ContextSpec } from '../../src/context/context.ts'
import type { TenantryError } from '../../src/errors.ts'
import type { EventName, EventPayloads } from '../../src/events.ts'
import type { StreamListener } from '../../src/wire/front-stream.ts'
import type { Piece } from '../../src/wire/frames.ts'
import type { ConnectionPace } from '../../src/wire/held.ts'

export const LIMITS: ContextLimits = {
  startupTimeout: 10_000,
  memoryLimit: 0,
  bufferLimit: 0,
  cpuTimeLimit: 0,
  deadlockTimeout: 0,
  maxRequests: 0,
  maxAge: 0,
  terminateTimeout: 2000, trimTimeout: 0,
}

const NO_PACE: ConnectionPace = {
  headerTimeout: 0, headerMaxTimeout: 0, headerMinRate: 0, bodyTimeout: 0, bodyMaxTimeout: 0, bodyMinRate: 0,
  sendTimeout: 0, queueTimeout: 0,
}

export interface Overrides extends Partial<Omit<ContextSpec, 'limits' | 'requests' | 'pace'>> {
  readonly limits?: Partial<ContextLimits>
  readonly requests?: Partial<ContextSpec['requests']>
  readonly pace?: Partial<ConnectionPace>
  /** The file's name where the application is given as source. */
  readonly name?: string
}

/** A folder of its own, gone after the test. */
export function folder(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), 'tenantry-test-'))
  t.after(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/** The source of an application as a file of a folder of its own. */
export function appFile(t: TestContext, source: string, name = 'app.mjs'): string {
  const file = path.join(folder(t), name)
  writeFileSync(file, source)
  return file
}

export function specOf(entry: string, overrides: Overrides = {}): ContextSpec {
  return {
    label: 'a.test',
    processGroup: '',
    mounts: [{ path: '', entry }],
    kind: 'auto',
    env: {},
    preload: [],
    permission: undefined,
    directory: path.dirname(entry),
    ...overrides,
    limits: { ...LIMITS, ...overrides.limits },
    requests: { handlerTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 0, ...overrides.requests },
    pace: { ...NO_PACE, ...overrides.pace },
  }
}

let labels = 0

/** A context for the application in `source`, with a label of its own so that its events can be told apart. */
export function startSource(t: TestContext, source: string, overrides: Overrides = {}): LiveContext {
  return startEntry(t, appFile(t, source, overrides.name), overrides)
}

export function startEntry(t: TestContext, entry: string, overrides: Overrides = {}): LiveContext {
  const spec = specOf(entry, { label: `app-${++labels}.test`, ...overrides })
  const context = startThread(spec, systemClock)
  t.after(() => context.terminate('admin'))
  // Nothing of a context holds the process, so a test that only waits for one has to.
  const alive = setInterval(() => {}, 1000)
  t.after(() => clearInterval(alive))
  return context
}

/** The events of one channel for one context, as they come. */
export function record<N extends EventName>(t: TestContext, name: N): EventPayloads[N][] {
  const seen: EventPayloads[N][] = []
  t.after(subscribe(name, (payload) => seen.push(payload)))
  return seen
}

/** An answer as the front got it. */
export interface Answer {
  readonly head: string
  readonly body: string
  /** How it ended: 'end', a reset's code, or an error's code. */
  readonly outcome: string
}

/** Sends one request straight into the context and gathers its answer; bytes are taken as they come. */
export function ask(context: LiveContext, url: string, body?: string): Promise<Answer> {
  return new Promise((resolve) => {
    let head = ''
    const pieces: Buffer[] = []
    const finish = (outcome: string): void => resolve({ head, body: Buffer.concat(pieces).toString(), outcome })
    const listener: StreamListener = {
      onHead(text, piece, end) {
        head = text
        if (piece !== undefined) listener.onData(piece, end)
        else if (end) finish('end')
      },
      onData(piece: Piece, end: boolean) {
        const bytes = Buffer.from(piece as Uint8Array)
        pieces.push(bytes)
        stream.consumed(bytes.byteLength)
        if (end) finish('end')
      },
      onEnd: () => finish('end'),
      onInfo() {},
      onWritable() {},
      onReset: finish,
      onFailure: (error: TenantryError) => finish(error.code),
    }
    const connection = context.channel.connect({
      remoteAddress: '192.0.2.1', remotePort: 4711, remoteFamily: 'IPv4', localAddress: '192.0.2.2', localPort: 80,
      encrypted: false, servername: undefined, alpnProtocol: undefined, tlsProtocol: undefined, keepAliveTimeout: 5000, maxRequestsPerSocket: 0,
    }, () => {})
    const stream = context.channel.open(openHead({ connection, url, end: body === undefined }), listener)
    if (body !== undefined) {
      stream.write(Buffer.from(body))
      stream.end(undefined)
    }
  })
}

/** The body as JSON, for applications that report what they see. */
export async function askJson(context: LiveContext, url = '/'): Promise<unknown> {
  const { body, outcome } = await ask(context, url)
  if (outcome !== 'end') throw new Error(`the request ended with ${outcome}`)
  return JSON.parse(body) as unknown
}

