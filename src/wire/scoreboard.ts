/**
 * One SharedArrayBuffer per context, as Apache's scoreboard: written by the
 * context, readable by the front while the context spins.
 *
 * Float64 cells, because byte counts pass 2^32. A cell is written by one thread
 * only, and a torn read is impossible for an aligned double on every platform
 * that Node runs on, so no Atomics are needed on the hot path.
 */
export const Cell = {
  heartbeat: 0,
  inFlight: 1,
  served: 2,
  connections: 3,
  lastActivity: 4,
  bytesIn: 5,
  bytesOut: 6,
  heapUsed: 7,
  external: 8,
  /** The thread's number in the system, 0 where it is not known. */
  threadId: 9,
  /**
   * How many connections that were handed over it has opened so far, or failed to. Written after those that are open, and
   * copied before them: no copy lacks one.
   */
  handedOpened: 10,
  /** Of these, those that are open. */
  handedConnections: 11,
  /** Requests under way on them; `inFlight` counts them too. */
  handedInFlight: 12,
  /** Requests served on them, likewise. */
  handedServed: 13,
  /** Requests on them that wait for a slot. */
  handedQueued: 14,
  /** How many its daemon lost. */
  handedLost: 15,
  /** How often it has given back memory while it was idle. */
  trims: 16,
} as const

export type ScoreboardCell = keyof typeof Cell

/** Where a cell stands: writers name it by its number, since a look-up by text costs each request 0.2 µs. */
export type CellIndex = (typeof Cell)[ScoreboardCell]

const CELLS = Object.keys(Cell) as ScoreboardCell[]

export const SCOREBOARD_BYTES: number = CELLS.length * Float64Array.BYTES_PER_ELEMENT

/** A copy of every cell. Times are `Date.now()` milliseconds, since threads do not share a performance origin. */
export type ScoreboardSnapshot = Readonly<Record<ScoreboardCell, number>>

export interface ScoreboardReader {
  read(cell: ScoreboardCell): number
  snapshot(): ScoreboardSnapshot
}

export class Scoreboard implements ScoreboardReader {
  readonly buffer: SharedArrayBuffer
  readonly #cells: Float64Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(SCOREBOARD_BYTES)) {
    this.buffer = buffer
    this.#cells = new Float64Array(buffer)
  }

  read(cell: ScoreboardCell): number {
    return this.#cells[Cell[cell]] as number
  }

  write(cell: CellIndex, value: number): void {
    this.#cells[cell] = value
  }

  add(cell: CellIndex, delta: number): void {
    this.#cells[cell] = (this.#cells[cell] as number) + delta
  }

  /** Every cell, in its place: what a daemon sends. */
  cells(): number[] {
    return [...this.#cells]
  }

  /** Takes over what `cells` gave elsewhere; false when it is not that. */
  fill(cells: unknown): boolean {
    if (!Array.isArray(cells) || cells.length !== CELLS.length || !cells.every(Number.isFinite)) return false
    this.#cells.set(cells as number[])
    return true
  }

  snapshot(): ScoreboardSnapshot {
    return Object.fromEntries(CELLS.map((cell) => [cell, this.read(cell)])) as ScoreboardSnapshot
  }
}
