import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../clock.ts'

/** Work in steps: it may pause at each `yield`, and returns its result. */
export type Steps<T> = Generator<undefined, T, undefined>

/** How long requests wait for such work at most, besides its longest step; milliseconds. */
const SLICE = 4

/** Does it to the end without a pause. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Does it a few milliseconds at a time; between two slices the event loop has its turn. */
export async function inSlices<T>(steps: Steps<T>, clock: Clock): Promise<T> {
  for (;;) {
    const end = clock.now() + SLICE
    do {
      const step = steps.next()
      if (step.done === true) return step.value
    } while (clock.now() < end)
    await setImmediate()
  }
}
