import { systemClock } from './clock.ts'
import { Daemon } from './context/daemon.ts'
import { Door } from './context/door.ts'
import { LiveContext } from './context/live-context.ts'
import { ownResident } from './context/process-usage.ts'
import { Spare } from './context/spare.ts'
import type { SpareSettings } from './context/spare.ts'
import { startSpare, startThread } from './context/thread.ts'
import { Groups } from './group/groups.ts'
import { ProcessGroup } from './group/process-group.ts'
import { ProcessGroups } from './group/process-groups.ts'
import type { ResolvedOptions } from './options.ts'
import type { ConnectionPace } from './wire/held.ts'

/** The groups of this process and of every process group, and how to close what they share. */
export interface Houses {
  readonly groups: ProcessGroups
  /** After the groups: nothing connects any more. */
  close(): void
}

/** Wires this process's groups with threads, and those of each process group with daemons. */
export function openHouses(options: ResolvedOptions, onMisdirected: (peer: string) => void): Houses {
  const clock = systemClock
  const { tenantNice, processGroups, startupTimeout, deadlockTimeout, terminateTimeout } = options
  const daemons = new Map<string, ProcessGroup>()
  // One ceiling for the whole server: each daemon's groups make room when all processes together pass it.
  const residentMemory = (): number =>
    [...daemons.values()].reduce((sum, { resident }) => sum + resident, ownResident())
  const shared = { ...options, clock, residentMemory, onMisdirected, pace: paceOf(options) }
  const spare = (processGroup: string): SpareSettings => ({ clock, processGroup, startupTimeout, terminateTimeout })
  const own = new Groups({
    ...shared,
    createContext: (spec) => startThread(spec, clock, tenantNice),
    createSpare: () => startSpare(spare(''), tenantNice),
  })
  const names = Object.keys(processGroups)
  // Without process groups there is no socket, and no file for it.
  const door = names.length === 0 ? undefined : new Door(clock)
  for (const [name, { command, limits, startAhead, maxContexts }] of Object.entries(processGroups)) {
    const caps = maxContexts === undefined ? {} : capsFor(maxContexts, options)
    daemons.set(name, new ProcessGroup({
      name, limits, startAhead,
      groups: { ...shared, ...caps },
      openDaemon: () => new Daemon({
        processGroup: name, command, clock, door: door as Door, nice: tenantNice,
        startupTimeout, deadlockTimeout, terminateTimeout,
      }),
      startIn: (daemon, spec) => new LiveContext(spec, clock, (listener) => daemon.open(spec, listener)),
      startSpareIn: (daemon) => new Spare(spare(name), (listener) => daemon.open(undefined, listener)),
    }))
  }
  return { groups: new ProcessGroups(own, daemons), close: () => door?.close() }
}

/** The caps that depend on maxContexts, no larger than they are. */
function capsFor(
  maxContexts: number, { maxGroups, maxGroupsPerPattern, maxStarting }: ResolvedOptions,
): Pick<ResolvedOptions, 'maxContexts' | 'maxGroups' | 'maxGroupsPerPattern' | 'maxStarting'> {
  return {
    maxContexts,
    maxGroups: Math.min(maxGroups, maxContexts),
    maxGroupsPerPattern: Math.min(maxGroupsPerPattern, maxContexts),
    maxStarting: Math.min(maxStarting, maxContexts),
  }
}

/** What the front's own connections are held to. */
function paceOf(options: ResolvedOptions): ConnectionPace {
  const { headerTimeout, headerMaxTimeout, headerMinRate, bodyTimeout, bodyMaxTimeout, bodyMinRate } = options
  const { sendTimeout, queueTimeout } = options
  return {
    headerTimeout, headerMaxTimeout, headerMinRate, bodyTimeout, bodyMaxTimeout, bodyMinRate, sendTimeout, queueTimeout,
  }
}
