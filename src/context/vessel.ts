import type { Carrier } from '../wire/carrier.ts'
import type { ScoreboardReader } from '../wire/scoreboard.ts'
import type { OfferedConnection } from './context.ts'

/** What runs a context's code: a thread of this process, or a thread or the main thread of a daemon. */
export interface Vessel {
  /** The relay's front end; what arrives on it goes to `onBatch`. */
  readonly carrier: Carrier
  readonly scoreboard: ScoreboardReader
  /** Milliseconds of CPU that its thread has used. */
  cpuTime(): number
  /** As `Context.handOver`. */
  handOver(connection: OfferedConnection): boolean
  /** It holds the front's process, as it does from its start. */
  ref(): void
  /** From now on it does not hold the front's process. */
  unref(): void
  /** Ends it, whatever it does; `onExit` follows, unless nothing can end it. Idempotent, never throws. */
  end(): void
}

/** What a context hears of its vessel. */
export interface VesselListener {
  /** One batch of frames, as it came. */
  onBatch(batch: unknown): void
  /** One line of its output. */
  onLine(stream: 'stdout' | 'stderr', line: string): void
  /** It is gone, once; every batch that it sent has arrived. `crash`: what it died of, if not of an exit. */
  onExit(exitCode: number | null, crash: Error | undefined): void
}

/** Starts one; throws a TenantryError when that cannot be. Hears `listener` later, never at once. */
export type OpenVessel = (listener: VesselListener) => Vessel
