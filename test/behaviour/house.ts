import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pino } from 'pino'
import { createRuntime } from '../../src/runtime.ts'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Runtime } from '../../src/runtime.ts'

/** A tenant's folder: its entry, or file name → content. */
export type Files = string | Readonly<Record<string, string>>

export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

export interface House {
  readonly runtime: Runtime
  readonly server: Server
  readonly port: number
  readonly url: string
  /** What the runtime's logger wrote. */
  readonly log: readonly LogLine[]
}

/** Says the label of the group that answers, and how many requests this very context has seen. */
export const COUNTING = `
let requests = 0
export default (req, res) => {
  res.setHeader('content-type', 'application/json')
  res.end(JSON.stringify({ group: process.env.TENANTRY_APPLICATION_GROUP, requests: ++requests, url: req.url, baseUrl: req.baseUrl }))
}
`

/** A folder of tenants as an operator writes it; a plain text is the tenant's index.mjs. */
export async function tenantFolder(t: TestContext, tenants: Readonly<Record<string, Files>>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tenantry-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  for (const [name, files] of Object.entries(tenants)) await writeTenant(folder, name, files)
  return folder
}

export async function writeTenant(folder: string, name: string, files: Files): Promise<void> {
  await mkdir(path.join(folder, name), { recursive: true })
  const entries = Object.entries(typeof files === 'string' ? { 'index.mjs': files } : files)
  await Promise.all(entries.map(([file, text]) => writeFile(path.join(folder, name, file), text)))
}

/** A runtime on real threads, without a server. */
export async function openRuntime(
  t: TestContext,
  tenants: Readonly<Record<string, Files>>,
  options: Omit<RuntimeOptions, 'tenants' | 'logger'> = {},
): Promise<{ readonly runtime: Runtime; readonly log: readonly LogLine[]; readonly folder: string }> {
  const folder = await tenantFolder(t, tenants)
  const log: LogLine[] = []
  const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(JSON.parse(line) as LogLine) })
  // Short, so that a test that leaves a request open still ends soon.
  const runtime = createRuntime({ drainTimeout: 500, memoryLimit: '256mb', ...options, tenants: folder, logger })
  t.after(() => runtime.destroy())
  return { runtime, log, folder }
}

/** The same behind a server of its own. */
export async function openHouse(
  t: TestContext,
  tenants: Readonly<Record<string, Files>>,
  options: Omit<RuntimeOptions, 'tenants' | 'logger'> = {},
): Promise<House & { readonly folder: string }> {
  const { runtime, log, folder } = await openRuntime(t, tenants, options)
  const server = await runtime.listen({ port: 0 })
  const { port } = server.address() as AddressInfo
  return { runtime, server, log, folder, port, url: `http://127.0.0.1:${port}` }
}
