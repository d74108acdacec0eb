import v8 from 'node:v8'

/** Before anything of the tenant loads, which could replace it. */
const { ArrayBuffer: Memory } = globalThis

/** More than any address space has, so that nothing is ever reserved, and no more than V8 takes for a length. */
const TOO_MUCH = 2 ** 52

/**
 * V8 14 (Node 25) ends a worker that asks for too much instead of refusing. On macOS, malloc writes a line to
 * stderr for each refusal, and elsewhere this was not tried.
 */
const CAN_COLLECT = process.platform === 'linux' && Number.parseInt(process.versions.v8, 10) < 14

/**
 * Collecting takes V8 four passes: 12 to 20 ms of CPU for the 5 to 10 MB of a small application, 30 for 15, and as
 * long it holds the thread. A larger heap was allocated for: V8 collects in it by itself.
 */
const MOST_HEAP = 12 * 2 ** 20

/**
 * Before V8 refuses an allocation, it collects all garbage there is, gives the pages back and makes the young
 * generation small. The only way to that without a flag, an inspector or a warning; see docs/starts.md.
 */
function collect(): void {
  try {
    void new Memory(TOO_MUCH)
  } catch {
    // As meant.
  }
}

/** What a collection has to look at: of the young generation nearly all is garbage after requests, and costs nothing. */
function oldHeap(): number {
  const spaces = v8.getHeapSpaceStatistics().filter(({ space_name: name }) => !name.startsWith('new_'))
  return spaces.reduce((sum, { space_used_size: used }) => sum + used, 0)
}

/** undefined where this Node has no way. */
export const collectAll: (() => void) | undefined = CAN_COLLECT ? collect : undefined

/** What an idle context holds is mostly garbage of its start, which V8 leaves where nothing allocates: it is collected once. */
export class IdleMemory {
  readonly #collect: (() => void) | undefined
  readonly #heapUsed: () => number
  #served = -1
  #since = 0
  #collected = false

  constructor(collect: (() => void) | undefined, heapUsed: () => number = oldHeap) {
    this.#collect = collect
    this.#heapUsed = heapUsed
  }

  /**
   * Looks whether the context has been idle for `timeout` ms since it served, and collects once. Called with each
   * heartbeat, so that no request needs a timer. True: it has collected.
   */
  look(now: number, timeout: number, served: number, isBusy: boolean): boolean {
    if (isBusy || served !== this.#served) {
      this.#served = served
      this.#since = now
      this.#collected = false
      return false
    }
    if (this.#collect === undefined || this.#collected || timeout === 0 || now - this.#since < timeout) return false
    this.#collected = true
    if (this.#heapUsed() > MOST_HEAP) return false
    this.#collect()
    return true
  }
}
