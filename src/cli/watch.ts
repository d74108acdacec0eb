import { watch, type FSWatcher } from 'node:fs'
import type { Clock } from '../clock.ts'

/** Editors write a file in several steps, and package managers write thousands: wait for a pause, but not for ever. */
const PAUSE = 200
const LONGEST = 2000

/** What a package manager or an editor does for itself changes no tenant. */
const IGNORED = /(^|[\\/])(node_modules|\.[^\\/]*|[^\\/]*~)([\\/]|$)/

export interface WatchOptions {
  readonly paths: readonly string[]
  readonly clock: Clock
  readonly onChange: () => void
  readonly onError: (error: Error) => void
}

/** Calls `onChange` after something below the paths has changed and it is quiet again; returns the function that stops it. */
export function watchPaths({ paths, clock, onChange, onError }: WatchOptions): () => void {
  let stopTimer: (() => void) | undefined
  let since = 0

  function changed(_event: string, name: string | null): void {
    if (name !== null && IGNORED.test(name)) return
    const now = clock.now()
    if (stopTimer === undefined) since = now
    stopTimer?.()
    stopTimer = clock.after(Math.max(0, Math.min(PAUSE, since + LONGEST - now)), () => {
      stopTimer = undefined
      onChange()
    })
  }

  const watchers = paths.flatMap((path) => {
    const watcher = openWatcher(path, changed, onError)
    watcher?.on('error', onError)
    return watcher ?? []
  })
  return () => {
    stopTimer?.()
    stopTimer = undefined
    for (const watcher of watchers) watcher.close()
  }
}

/** Recursive where the platform can, else the folder itself: its new and removed tenants are still noticed. */
function openWatcher(
  path: string, changed: (event: string, name: string | null) => void, onError: (error: Error) => void,
): FSWatcher | undefined {
  for (const recursive of [true, false]) {
    try {
      return watch(path, { recursive, persistent: false }, changed)
    } catch (error) {
      if (!recursive) onError(error as Error)
    }
  }
  return undefined
}
