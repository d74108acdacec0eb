import { statSync, watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock } from '../clock.ts'

/** Editors write a file in several steps, and package managers write thousands: wait for a pause, but not for ever. */
const PAUSE = 200
const LONGEST = 2000

/** What a package manager or an editor does for itself changes no tenant. */
const IGNORED = /(^|[\\/])(node_modules|\.[^\\/]*|[^\\/]*~)([\\/]|$)/

type Changed = (event: string, name: string | null) => void

export interface WatchOptions {
  readonly paths: readonly string[]
  readonly clock: Clock
  readonly onChange: () => void
  readonly onError: (error: Error) => void
}

/** Calls `onChange` when something at or below the paths has changed and it is quiet again; returns the stop. */
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

/**
 * Recursive where the platform can, else the folder itself: its new and removed tenants are still noticed.
 * A file is watched through its folder, since an editor that writes a new one in its place would end a watch on it.
 */
function openWatcher(path: string, changed: Changed, onError: (error: Error) => void): FSWatcher | undefined {
  // Asked first: some Nodes watch a path that is not there without a word.
  let isFile: boolean
  try {
    isFile = statSync(path).isFile()
  } catch (error) {
    onError(error as Error)
    return undefined
  }
  const own: Changed = (event, name) => {
    if (name === basename(path)) changed(event, name)
  }
  for (const recursive of isFile ? [false] : [true, false]) {
    try {
      return watch(isFile ? dirname(path) : path, { recursive, persistent: false }, isFile ? own : changed)
    } catch (error) {
      if (!recursive) onError(error as Error)
    }
  }
  return undefined
}
