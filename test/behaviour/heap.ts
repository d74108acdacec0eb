import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

// From here on contexts that start have gc() as a global, too.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that this thread holds once all garbage is gone; what the process has from the system says little about it. */
export function held(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
