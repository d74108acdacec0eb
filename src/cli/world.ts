import type { Server } from 'node:http'
import type { Clock } from '../clock.ts'
import type { SourceDescription } from '../describe.ts'
import type { AskedRequest, Explanation } from '../explain.ts'
import type { Logger, LoggerOption } from '../ops/logger.ts'
import type { ResolvedOptions, RuntimeOptions } from '../options.ts'
import type { RuntimeStats } from '../runtime.ts'

/** The server's own certificate, paths of PEM files or PEM itself, and what it offers. */
export interface ServedTls {
  readonly cert?: string
  readonly key?: string
  readonly http2?: boolean
}

/** What the command needs of a runtime. */
export interface ServedRuntime {
  readonly options: ResolvedOptions
  listen(options: { readonly host: string; readonly port: number; readonly tls?: ServedTls }): Promise<Server>
  /** The hosts that the source names; undefined for a function. */
  patterns(): readonly string[] | undefined
  problems(): readonly { readonly pattern: string; readonly message: string }[]
  /** Reads the tenants again; options that may change while serving take effect. */
  refresh(options: RuntimeOptions): Promise<{
    readonly added: readonly string[]
    readonly changed: readonly string[]
    readonly removed: readonly string[]
  }>
  /** Drains, then ends; `zombies` counts the threads that could not be ended. */
  close(): Promise<{ readonly zombies: number }>
  destroy(): Promise<void>
  stats(): Pick<RuntimeStats, 'zombies' | 'lanes'>
}

/** Where signals come from: the process, or a test. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown
  off(signal: NodeJS.Signals, listener: () => void): unknown
}

/** Everything that the command takes from outside, so that a test can be the outside. */
export interface World {
  readonly version: string
  /** The command's own main module, for those whom it starts again. */
  readonly program: string
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly signals: SignalSource
  readonly clock: Clock
  openLogger(option: LoggerOption): Logger | undefined
  createRuntime(options: RuntimeOptions): ServedRuntime
  /** What the tenant source holds, resolved; labels are those of requests to `port`. Starts nothing. */
  describe(options: RuntimeOptions, port: number, tls?: ServedTls): Promise<SourceDescription>
  /** How a request to a server on `port` would be resolved. Starts nothing. */
  explain(options: RuntimeOptions, port: number, asked: AskedRequest): Promise<Explanation>
}

/** How the command ended. `stuck`: a thread cannot be ended, so that only a signal ends the process. */
export interface Outcome {
  readonly code: number
  readonly stuck: boolean
}

/** 0 clean, 1 failed, 2 usage or configuration, 3 could not listen, 128 + n forced by a signal. */
export const EXIT = { clean: 0, failed: 1, usage: 2, listen: 3, signal: 128 } as const
