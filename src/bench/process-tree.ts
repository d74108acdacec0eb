import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/** What a process and all below it use. undefined: this system does not say. */
export interface TreeUse {
  /** CPU seconds, user and system, since each of them began. */
  readonly cpu: number | undefined
  /** Resident bytes; what processes share counts for each of them. */
  readonly resident: number | undefined
  /** Resident bytes with shared pages divided among those who share them (PSS). */
  readonly proportional: number | undefined
}

const NOTHING: TreeUse = { cpu: undefined, resident: undefined, proportional: undefined }

/** How this system tells what a tree of processes uses, for the report. */
export const TREE_SOURCE: string | undefined =
  process.platform === 'linux' ? '/proc' : process.platform === 'win32' ? undefined : 'ps'

/** Linux counts in hundredths of a second towards programs, on every architecture that Node runs on. */
const TICKS = 100

/** What `pid` and all below it use now. `proportional` walks their page tables, so it is only looked at when asked for. */
export async function readTree(pid: number, { proportional = false } = {}): Promise<TreeUse> {
  if (TREE_SOURCE === '/proc') return readProc(pid, proportional)
  return TREE_SOURCE === 'ps' ? await readPs(pid) : NOTHING
}

function readProc(pid: number, proportional: boolean): TreeUse {
  const pids = below(pid)
  const sum = (of: (pid: number) => number): number => pids.reduce((total, one) => total + unlessGone(() => of(one), 0), 0)
  return {
    cpu: sum(cpuSeconds),
    resident: sum((one) => kilobytes(`/proc/${one}/status`, 'VmRSS')),
    proportional: proportional ? sum((one) => kilobytes(`/proc/${one}/smaps_rollup`, 'Pss')) : undefined,
  }
}

function below(pid: number): number[] {
  const children = unlessGone(() => readdirSync(`/proc/${pid}/task`), []).flatMap((task) =>
    unlessGone(() => readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1'), '').split(' ').filter(Boolean).map(Number))
  return [pid, ...children.flatMap(below)]
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The second field is the program's name and may hold spaces and brackets; counting starts after the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

function kilobytes(file: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(file, 'latin1'))
  return Number(found?.[1] ?? 0) * 1024
}

/** A process or thread may end while it is looked at. */
function unlessGone<T>(look: () => T, otherwise: T): T {
  try {
    return look()
  } catch {
    return otherwise
  }
}

async function readPs(pid: number): Promise<TreeUse> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,rss=,time='])
  return sumPs(stdout, pid)
}

/** Adds up what `ps -o pid=,ppid=,rss=,time=` says of a process and all below it. */
export function sumPs(text: string, pid: number): TreeUse {
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/)).filter(({ length }) => length === 4)
  const known = new Set([String(pid)])
  // A child may stand before its parent: until a pass finds nobody new.
  for (let size = 0; size < known.size;) {
    size = known.size
    for (const [own = '', parent = ''] of rows) if (known.has(parent)) known.add(own)
  }
  const tree = rows.filter(([own = '']) => known.has(own))
  return {
    cpu: tree.reduce((total, [, , , time = '']) => total + seconds(time), 0),
    resident: tree.reduce((total, [, , rss]) => total + Number(rss) * 1024, 0),
    proportional: undefined,
  }
}

/** `[days-][hours:]minutes:seconds[.hundredths]` */
function seconds(time: string): number {
  const [clock = '', days = '0'] = time.split('-').reverse()
  return Number(days) * 86_400 + clock.split(':').reduce((total, part) => total * 60 + Number(part), 0)
}
