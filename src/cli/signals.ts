import os from 'node:os'
import { EXIT, type SignalSource } from './world.ts'

export interface SignalActions {
  /** The first SIGTERM or SIGINT. */
  readonly drain: (signal: NodeJS.Signals) => void
  /** The second one; `code` is 128 + the signal's number. */
  readonly force: (signal: NodeJS.Signals, code: number) => void
  /** SIGHUP. Not called again before it has settled: many signals in between are one more call. */
  readonly reload: () => Promise<void>
}

/** Listens for signals; returns the function that stops it, after which they have their default effect again. */
export function onSignals(source: SignalSource, { drain, force, reload }: SignalActions): () => void {
  let ending = 0
  let reloading = false
  let again = false

  function end(signal: NodeJS.Signals): void {
    ending++
    if (ending === 1) return drain(signal)
    // A third one finds no listener: the system ends the process, whatever still hangs in it.
    stop()
    force(signal, EXIT.signal + os.constants.signals[signal])
  }

  async function onHangUp(): Promise<void> {
    if (ending > 0) return
    again = true
    if (reloading) return
    reloading = true
    while (again && ending === 0) {
      again = false
      await reload()
    }
    reloading = false
  }

  const listeners: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGTERM', () => end('SIGTERM')],
    ['SIGINT', () => end('SIGINT')],
    ['SIGHUP', () => void onHangUp()],
  ]
  for (const [signal, listener] of listeners) source.on(signal, listener)
  function stop(): void {
    for (const [signal, listener] of listeners) source.off(signal, listener)
  }
  return stop
}
