/**
 * One SharedArrayBuffer per context, as Apache's scoreboard: written by the
 * context, readable by the front while the context spins.
 *
 * Float64 cells, because byte counts pass 2^32. A cell is written by one thread
 * only, and a torn read is impossible for an aligned double on every platform
 * that Node runs on, so no Atomics are needed on the hot path.
 */
const CELLS = ['heartbeat', 'inFlight', 'served', 'connections', 'lastActivity', 'bytesIn', 'bytesOut', 'heapUsed', 'external', 'threadId'] as const

export type ScoreboardCell = (typeof CELLS)[number]

const INDEX = Object.fromEntries(CELLS.map((cell, index) => [cell, index])) as Record<ScoreboardCell, number>

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
    return this.#cells[INDEX[cell]] as number
  }

  write(cell: ScoreboardCell, value: number): void {
    this.#cells[INDEX[cell]] = value
  }

  add(cell: ScoreboardCell, delta: number): void {
    const index = INDEX[cell]
    this.#cells[index] = (this.#cells[index] as number) + delta
  }

  snapshot(): ScoreboardSnapshot {
    return Object.fromEntries(CELLS.map((cell) => [cell, this.read(cell)])) as ScoreboardSnapshot
  }
}
