import { readFileSync } from 'node:fs'
import os from 'node:os'

/** What the caps depend on: plain numbers, so that the rule can be tested for any machine. */
export interface Machine {
  /** Bytes that this process may use: the machine's memory, or its control group's where that is less. */
  readonly memory: number
  /** Files that this process may have open at once. */
  readonly descriptors: number
  readonly cores: number
}

export interface DefaultCaps {
  readonly maxContexts: number
  readonly memoryLimit: number
  readonly maxStarting: number
  readonly maxStarts: number
  readonly maxMemory: number
  readonly maxConnections: number
}

const MB = 1024 ** 2

/** A thread with a framework application loaded: 7-16 MB for the thread, the rest for the application. */
const CONTEXT_MEMORY = 48 * MB

/** An empty context holds 4 or 5 descriptors. */
const CONTEXT_DESCRIPTORS = 5

/** A connection of HTTP/1 that has served a request and waits for the next: 14 KiB measured. */
const CONNECTION_MEMORY = 16 * 1024

/** Of the descriptors that contexts leave over; the rest is for files, and for the applications' own connections. */
const CONNECTION_SHARE = 0.75

/** What POSIX systems have always allowed, where the limit cannot be read. */
const SAFE_DESCRIPTORS = 1024

/** Half is for contexts; the rest serves connections, the applications' own files, and the page cache. */
const SHARE = 0.5

/** Of the memory, for the whole process. */
const MEMORY_SHARE = 0.8

/** How many contexts this machine carries, and how fast it may make them. Pure. */
export function defaultCaps(machine: Machine): DefaultCaps {
  const byMemory = (machine.memory * SHARE) / CONTEXT_MEMORY
  const byDescriptors = (machine.descriptors * SHARE) / CONTEXT_DESCRIPTORS
  // 2: a machine too small for two contexts still serves one host while it replaces another.
  // 512: beyond it, a start costs other contexts more than a larger number gains.
  const maxContexts = clamp(Math.floor(Math.min(byMemory, byDescriptors)), 2, 512)
  return {
    maxContexts,
    // Several times what a framework application needs (20-60 MB), and never over a quarter of the machine.
    memoryLimit: clamp(Math.floor(machine.memory / 4 / MB) * MB, 64 * MB, 256 * MB),
    // A start is nearly all CPU; one more than the cores, because a start also waits for the disk.
    maxStarting: machine.cores + 1,
    // A start is 20 to 50 ms of CPU, so a flood of hosts must not make threads for ever;
    // but a full house must be able to come back within a minute.
    maxStarts: Math.max(120, maxContexts),
    // Past it the system begins to swap, or its killer comes: the rest is for others and for what grows between two looks.
    // Past it, accept() fails, and so does whatever else opens a file.
    maxConnections: Math.max(
      16,
      Math.floor(
        Math.min(
          (machine.descriptors - maxContexts * CONTEXT_DESCRIPTORS) * CONNECTION_SHARE,
          machine.memory / 4 / CONNECTION_MEMORY,
        ),
      ),
    ),
    maxMemory: Math.max(64, Math.floor((machine.memory * MEMORY_SHARE) / MB)) * MB,
  }
}

/** The machine that this process runs on. */
export function readMachine(): Machine {
  // 0 or a number beyond the machine's memory: no control group limits this process.
  const limit = process.constrainedMemory?.() ?? 0
  const memory = limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem()
  return { memory, descriptors: readDescriptorLimit(), cores: os.availableParallelism() }
}

function readDescriptorLimit(): number {
  try {
    return parseDescriptorLimit(readFileSync('/proc/self/limits', 'latin1'))
  } catch {
    return SAFE_DESCRIPTORS
  }
}

/** The soft limit of open files in the text of Linux's /proc/self/limits. */
export function parseDescriptorLimit(limits: string): number {
  const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1]
  if (soft === undefined) return SAFE_DESCRIPTORS
  return soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft)
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
