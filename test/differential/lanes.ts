import { after, before } from 'node:test'
import { pathToFileURL } from 'node:url'
import { createRuntime } from '../../src/runtime.ts'
import { EMBEDDINGS } from './embeddings.ts'
import type http from 'node:http'
import type { TestContext } from 'node:test'
import type { Runtime } from '../../src/runtime.ts'

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
}

/** The application in `entry` behind each embedding; each copy keeps what it remembers to itself. */
export async function openPairs(t: Scope, entry: string, embeddings = EMBEDDINGS): Promise<readonly Pair[]> {
  return await Promise.all(Object.entries(embeddings).map(async ([name, embed]): Promise<Pair> => ({
    name,
    oracle: { name: `${name}, bare`, port: await embed(t, await importFresh(entry)) },
    ours: { name, port: await embed(t, openRuntime(t, entry)) },
  })))
}

/** A runtime whose only tenant is `entry`, under any name below `test`. */
export function openRuntime(t: Scope, entry: string): Runtime {
  const runtime = createRuntime({ tenants: { '*.test': entry }, applicationGroup: 'one', logger: false, drainTimeout: 500 })
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
