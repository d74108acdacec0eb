import { existsSync } from 'node:fs'
import path from 'node:path'
import { pino } from 'pino'
import { createRuntime } from '../../src/runtime.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { Tenant } from '../../src/group/tenant.ts'
import type { RuntimeOptions } from '../../src/options.ts'
import type { Runtime } from '../../src/runtime.ts'

export interface Served {
  readonly runtime: Runtime
  /** The application is the tenant of 127.0.0.1, so that every client reaches it by its own means. */
  readonly url: string
  readonly port: number
  /** What the application wrote, and what was logged about it. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
}

export interface Settings extends Omit<Tenant, 'entry' | 'mounts'> {
  readonly options?: Omit<RuntimeOptions, 'tenants' | 'logger'>
}

/** Serves a program of test/fixtures/frameworks, or one by its absolute path, in a context of its own. */
export async function serveFramework(t: TestContext, entry: string, { options, ...tenant }: Settings = {}): Promise<Served> {
  const log: Record<string, unknown>[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) })
  const file = path.resolve('test/fixtures/frameworks', entry)
  const runtime = createRuntime({
    drainTimeout: 2000, memoryLimit: '512mb', ...options, tenants: { '127.0.0.1': { entry: file, ...tenant } }, logger,
  })
  t.after(() => runtime.destroy())
  const server = await runtime.listen({ port: 0 })
  const { port } = server.address() as AddressInfo
  return { runtime, port, url: `http://127.0.0.1:${port}`, log }
}

/** The name and value of each cookie, as a client sends them back. */
export function cookiesOf(answer: Response): string {
  return answer.headers.getSetCookie().map((line) => line.slice(0, line.indexOf(';'))).join('; ')
}

/** A multiple of every window on the way. */
export const LARGE = Buffer.alloc(3_000_000, 'large answer ')

/** The heavy frameworks' own folder. */
export const APPS = path.resolve('test/frameworks/apps')

/** Why a test of a heavy framework is skipped; false when what it needs is there. */
export function missing(...files: readonly string[]): string | false {
  return files.every((file) => existsSync(path.join(APPS, file)))
    ? false
    : 'not installed: run "npm ci && npm run build" in test/frameworks/apps, as .ci/run does'
}
