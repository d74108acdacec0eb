import type { DaemonState } from '../context/daemon.ts'
import type { GroupsStats } from './group-stats.ts'

/** One daemon, seen now, and the application groups in it. */
export interface ProcessStats extends GroupsStats {
  /** undefined while there is none. */
  readonly pid: number | undefined
  /** `absent`: none runs, the next request starts one; `leaving`: replaced, it finishes what it has. */
  readonly state: DaemonState | 'absent' | 'leaving'
  /** Requests that it was given. */
  readonly requests: number
  /** Resident memory in bytes and CPU in milliseconds, as it last told. */
  readonly resident: number
  readonly cpu: number
}

export interface ProcessGroupStats {
  readonly name: string
  readonly processes: readonly ProcessStats[]
}
