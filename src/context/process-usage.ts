import { readFileSync } from 'node:fs'

/** What a process uses: bytes that are resident, and milliseconds of CPU since it began. */
export interface ProcessUsage {
  readonly resident: number
  readonly cpu: number
}

/** A tick of /proc/PID/stat: 100 in a second on every Linux. Milliseconds. */
const TICK = 10

let resident = 0

/**
 * Bytes of this process that are resident. At its limit of descriptors, where Node cannot look and throws, as they were
 * when last looked at: a timer would end the process by it, and with it all tenants.
 */
export function ownResident(): number {
  try {
    resident = process.memoryUsage.rss()
  } catch {
    // EMFILE or ENFILE.
  }
  return resident
}

/** By Linux's own count, which no tenant can forge; undefined where the system does not say it. */
export function usageOf(pid: number): ProcessUsage | undefined {
  try {
    const resident = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // Behind the name, which may hold anything: state is the first field, user and system time the 12th and 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    return resident === undefined || !Number.isSafeInteger(ticks) ? undefined : { resident: Number(resident) * 1024, cpu: ticks * TICK }
  } catch {
    return undefined
  }
}
