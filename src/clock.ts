/** Time, passed in so that tests decide what time it is. */
export interface Clock {
  /** Milliseconds that never go back. */
  now(): number
  /** A timer that never keeps the process alive; returns the function that stops it. */
  after(milliseconds: number, run: () => void): () => void
  every(milliseconds: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds)
    timer.unref()
    return () => clearTimeout(timer)
  },
  every(milliseconds, run) {
    const timer = setInterval(run, milliseconds)
    timer.unref()
    return () => clearInterval(timer)
  },
}
