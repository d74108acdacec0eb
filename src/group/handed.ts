import type { Context } from '../context/context.ts'

type Board = Context['scoreboard']

/**
 * What one context does on connections that were handed to it. The front does not
 * see their requests: its scoreboard counts them, and here they count as those do
 * that the front sees.
 */
export class Handed {
  readonly #board: Board
  /** Connections that were handed to it. */
  #given = 0
  /** Requests that it had served at the last look. */
  #seen = 0

  constructor(board: Board) {
    this.#board = board
  }

  /** A connection is on its way. */
  give(): void {
    this.#given++
  }

  /** Connections so far, open or not. */
  get given(): number {
    return this.#given
  }

  /**
   * Those that it has opened are counted by itself: what is on its way is open, too. Never too few, though it opens one
   * meanwhile: it counts it as open before it counts it as arrived, and is read the other way round. (A processor that
   * reorders writes, as arm64 may, can hide one for a moment.)
   */
  get open(): number {
    const underWay = this.#underWay
    return this.#count('handedConnections') + underWay
  }

  /** Requests that it is at work on, and connections that it has not opened yet: each brings a request. */
  get inFlight(): number {
    return this.#count('handedInFlight') + this.#underWay
  }

  /** Requests that wait in it for a slot. */
  get queued(): number {
    return this.#count('handedQueued')
  }

  get served(): number {
    return this.#count('handedServed')
  }

  /** Requests that it has served since the last look. */
  look(): number {
    const { served } = this
    const fresh = Math.max(0, served - this.#seen)
    this.#seen = served
    return fresh
  }

  get #underWay(): number {
    return this.#given === 0 ? 0 : Math.max(0, this.#given - this.#count('handedOpened') - this.#count('handedLost'))
  }

  /** A tenant that reaches its scoreboard may have written anything there. */
  #count(cell: Parameters<Board['read']>[0]): number {
    const value = this.#board.read(cell)
    return value > 0 && value < Infinity ? value : 0
  }
}
