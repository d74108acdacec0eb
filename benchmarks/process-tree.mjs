// A process with its children, as the kernel sees them; Linux only.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const ticksPerSecond = process.platform === 'linux' ? Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : 0

/** CPU seconds, user and system, of all threads of a process. */
function cpuSeconds(pid) {
  return secondsIn(`/proc/${pid}/stat`)
}

/** CPU seconds of one thread, named as in /proc: PID/task/TID; undefined where there is no /proc. */
export function threadCpuSeconds(thread) {
  if (process.platform !== 'linux') return undefined
  return secondsIn(`/proc/${thread}/stat`)
}

function secondsIn(file) {
  const stat = readFileSync(file, 'utf8')
  // The second field is the program's name and may hold spaces and brackets; counting starts after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Resident bytes of a process now. */
function residentBytes(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(kilobytes[1]) * 1024
}

/** The process and all below it. */
export function processTree(pid) {
  if (process.platform !== 'linux') return [pid]
  return [pid, ...childrenOf(pid).flatMap((child) => processTree(child))]
}

/** Bytes, descriptors, threads and unreaped children of the process and all below it; undefined values where there is no /proc. */
export function treeFigures(pid) {
  const pids = processTree(pid)
  const sum = (of) => process.platform === 'linux' ? pids.reduce((total, one) => total + unlessGone(() => of(one)), 0) : undefined
  return {
    processes: pids.length,
    resident: sum(residentBytes),
    descriptors: sum((one) => readdirSync(`/proc/${one}/fd`).length),
    threads: sum((one) => readdirSync(`/proc/${one}/task`).length),
    zombies: sum((one) => Number(/\) Z /.test(readFileSync(`/proc/${one}/stat`, 'utf8')))),
  }
}

/** Resident bytes of a server and its daemons; undefined where there is no /proc. */
export function treeResident(pid) {
  if (process.platform !== 'linux') return undefined
  return processTree(pid).reduce((total, one) => total + unlessGone(() => residentBytes(one)), 0)
}

/** Bytes that a server and its daemons share with nobody; NaN where there is no /proc. */
export function treePrivate(pid) {
  if (process.platform !== 'linux') return NaN
  return processTree(pid).reduce((total, one) => total + unlessGone(() => privateBytes(one)), 0)
}

function privateBytes(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
  return [...text.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce((total, [, kilobytes]) => total + Number(kilobytes) * 1024, 0)
}

/** CPU seconds of a server and its daemons; undefined where there is no /proc. */
export function treeCpuSeconds(pid) {
  if (process.platform !== 'linux') return undefined
  return processTree(pid).reduce((total, one) => total + unlessGone(() => cpuSeconds(one)), 0)
}

function childrenOf(pid) {
  return unlessGone(() => readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const text = unlessGone(() => readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')) || ''
    return text.split(' ').filter(Boolean).map(Number)
  })) || []
}

/** 0 for a process or thread that ended while we looked. */
function unlessGone(look) {
  try {
    return look()
  } catch {
    return 0
  }
}
