import { after, before } from 'node:test'
import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'
import { openDescriptors } from '../../src/context/descriptors.ts'
import { createRuntime } from '../../src/runtime.ts'
import { EMBEDDINGS, TLS } from './embeddings.ts'
import type http from 'node:http'
import type { TestContext } from 'node:test'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Runtime } from '../../src/runtime.ts'
import type { Embedding } from './embeddings.ts'

/** Where clean-up is left: a test, or a whole file. */
export type Scope = Pick<TestContext, 'after'>

/** One way to reach an application. */
export interface Lane {
  readonly name: string
  readonly port: number
}

/** The same handler in the same place: itself, and as the application of a context. */
export interface Pair {
  readonly name: string
  readonly oracle: Lane
  readonly ours: Lane
  /** What an application sees depends on the server: over TLS, its own finishes an answer later than a plain one. */
  readonly seesAsOracle: boolean
}

/** Where an application can run other than in a thread of the front. */
const DAEMONS: Readonly<Record<string, Partial<RuntimeOptions>>> = {
  'a thread of a daemon': { processGroup: 'pool', processGroups: { pool: {} } },
  'the main thread of a daemon': { processGroup: 'pool', processGroups: { pool: {} }, applicationGroup: '%{GLOBAL}' },
}

/** A context that serves its clients itself, their TLS included: the lane is asked for, and whoever cannot have it relays. */
const HANDED_TLS = 'a context that speaks TLS'

/** The application in `entry` behind each embedding and in each tier; each copy keeps what it remembers to itself. */
export async function openPairs(t: Scope, entry: string, embeddings = EMBEDDINGS): Promise<readonly Pair[]> {
  const plain = EMBEDDINGS['node:http'] as Embedding
  const own = EMBEDDINGS['runtime.listen()'] as Embedding
  // Elsewhere, everything takes the relay.
  const handed: Readonly<Record<string, Partial<RuntimeOptions>>> = openDescriptors() === undefined ? {} : { 'a thread': {}, ...DAEMONS }
  return await Promise.all([
    ...Object.entries(embeddings).map(async ([name, embed]) => await openPair(t, entry, name, embed, { lane: 'relay' })),
    openPair(t, entry, HANDED_TLS, EMBEDDINGS['runtime.listen(), TLS'] as Embedding, { lane: 'auto', tenants: { '*.test': { entry, tls: TLS } } }),
    ...Object.entries(DAEMONS).map(async ([name, options]) => await openPair(t, entry, name, plain, options)),
    ...Object.entries(handed).map(async ([name, options]) =>
      await openPair(t, entry, `${name}, handed over`, own, { ...options, lane: 'handoff' })),
  ])
}

async function openPair(t: Scope, entry: string, name: string, embed: Embedding, options: Partial<RuntimeOptions>): Promise<Pair> {
  const runtime = openRuntime(t, entry, options)
  if (options.lane === 'handoff') t.after(() => assert.ok(runtime.stats().lanes.handoff > 0, `${name}: nothing was handed over`))
  return {
    name,
    oracle: { name: `${name}, bare`, port: await embed(t, await importFresh(entry)) },
    ours: { name, port: await embed(t, runtime) },
    seesAsOracle: name === HANDED_TLS && openDescriptors() !== undefined,
  }
}

/** A runtime whose only tenant is `entry`, under any name below `test`. */
export function openRuntime(t: Scope, entry: string, options: Partial<RuntimeOptions> = {}): Runtime {
  const runtime = createRuntime({ tenants: { '*.test': entry }, applicationGroup: 'one', logger: false, drainTimeout: 500, ...options })
  t.after(() => runtime.destroy())
  return runtime
}

export async function importFresh(entry: string): Promise<http.RequestListener> {
  const url = `${pathToFileURL(entry).href}?${Math.random()}`
  const { default: handler } = (await import(url)) as { default: http.RequestListener }
  return handler
}

/** What a whole file shares: opened before its first test, closed after its last one. */
export function share<Shared>(open: (t: Scope) => Promise<Shared>): () => Shared {
  const cleanUps: (() => unknown)[] = []
  let shared: Shared | undefined
  before(async () => {
    shared = await open({ after: (cleanUp) => void cleanUps.push(cleanUp as () => unknown) })
  })
  after(async () => {
    for (const cleanUp of cleanUps.reverse()) await cleanUp()
  })
  return () => shared as Shared
}
