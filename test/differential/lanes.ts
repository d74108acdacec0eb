import http from 'node:http'
import https from 'node:https'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { pathToFileURL } from 'node:url'
import express from 'express'
import { createRuntime } from '../../src/runtime.ts'
import { listen } from '../tenant/front.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { Runtime } from '../../src/runtime.ts'

/** Where clean-up is left: a test, or a whole file. */
export type Scope = Pick<TestContext, 'after'>

/** One way to reach an application; `bare` is the oracle, which all others are compared with. */
export interface Lane {
  readonly name: string
  readonly port: number
}

export interface Lanes {
  readonly bare: Lane
  /** The same application behind Tenantry, each in a context of its own. */
  readonly others: readonly Lane[]
}

export const TLS = { key: readFileSync('test/fixtures/tls/key.pem'), cert: readFileSync('test/fixtures/tls/cert.pem') }

/** How a runtime can stand behind a server. */
const EMBEDDINGS: Readonly<Record<string, (t: Scope, runtime: Runtime) => Promise<number>>> = {
  'runtime.listen()': async (_t, runtime) => ((await runtime.listen()).address() as AddressInfo).port,
  "server.on('request')": (t, runtime) => {
    const server = http.createServer()
    server.on('request', runtime.handler)
    server.on('upgrade', runtime.upgrade)
    return listen(t, server)
  },
  'an Express middleware': (t, runtime) => {
    const app = express().disable('x-powered-by')
    app.use(runtime.handler)
    const server = http.createServer(app)
    server.on('upgrade', runtime.upgrade)
    return listen(t, server)
  },
}

/** The application in `entry` bare and behind every embedding; each copy keeps what it remembers to itself. */
export async function openLanes(t: Scope, entry: string): Promise<Lanes> {
  const handler = await importFresh(entry)
  const bare = { name: 'bare', port: await listen(t, http.createServer(handler)) }
  const others = await Promise.all(Object.entries(EMBEDDINGS).map(async ([name, embed]) =>
    ({ name, port: await embed(t, openRuntime(t, entry)) })))
  return { bare, others }
}

/** Bare node:https and the same behind it. */
export async function openTlsLanes(t: Scope, entry: string): Promise<Lanes> {
  const runtime = openRuntime(t, entry)
  const bare = { name: 'bare', port: await listen(t, https.createServer(TLS, await importFresh(entry))) }
  const others = [{ name: 'node:https', port: await listen(t, https.createServer(TLS, runtime.handler)) }]
  return { bare, others }
}

/** A runtime whose only tenant is `entry`, under any name below `test`. */
export function openRuntime(t: Scope, entry: string): Runtime {
  const runtime = createRuntime({ tenants: { '*.test': entry }, applicationGroup: 'one', logger: false, drainTimeout: 500 })
  t.after(() => runtime.destroy())
  return runtime
}

async function importFresh(entry: string): Promise<http.RequestListener> {
  const url = `${pathToFileURL(entry).href}?${Math.random()}`
  const { default: handler } = (await import(url)) as { default: http.RequestListener }
  return handler
}

/** The lanes of a whole file: opened before its first test, closed after its last one. */
export function shareLanes(open: (t: Scope) => Promise<Lanes>): () => Lanes {
  const cleanUps: (() => unknown)[] = []
  let lanes: Lanes | undefined
  before(async () => {
    lanes = await open({ after: (cleanUp) => void cleanUps.push(cleanUp as () => unknown) })
  })
  after(async () => {
    for (const cleanUp of cleanUps.reverse()) await cleanUp()
  })
  return () => lanes as Lanes
}
