import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ownCode, packageFiles, permissionFlag } from './permission.ts'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { PermissionSpec } from './context.ts'

/** How the process of a daemon is started. */
export interface DaemonCommand {
  /** Ids; undefined: the front's own. */
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly umask: number | undefined
  readonly env: Readonly<Record<string, string>>
  /** Node's own options. */
  readonly execArgv: readonly string[]
  /** undefined: no permission model. */
  readonly permission: PermissionSpec | undefined
  readonly workingDirectory: string | undefined
}

const MAIN = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../daemon/main.ts' : '../daemon/main.js', import.meta.url))

/** @throws Error when there is no process or no descriptor to be had; what comes later is an 'error' event */
export function spawnDaemon(command: DaemonCommand): ChildProcess {
  const child = spawn(...spawnArguments(command))
  // At the limit of descriptors there are no pipes, and what comes is an event.
  if ((child.stdio as unknown) !== undefined) return child
  child.on('error', () => {})
  throw new Error('the process is at its limit of descriptors')
}

/** File, arguments and options for `spawn`. Descriptor 3 is the control socket, 4 the way of connections. */
function spawnArguments(command: DaemonCommand): [file: string, args: string[], options: SpawnOptions] {
  const { uid, gid, env, execArgv, permission, workingDirectory } = command
  const args = [...execArgv, ...permissionArguments(permission), MAIN]
  const options: SpawnOptions = {
    cwd: workingDirectory,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    // A Ctrl-C in the front's terminal is the front's: it drains its daemons itself.
    detached: process.platform !== 'win32',
    windowsHide: true,
  }
  const prefix = deathSignal()
  if (prefix === undefined) return [process.execPath, args, { ...options, uid, gid }]
  // The kernel forgets the signal when a process changes its user: setpriv does that first.
  const user = [
    ...(uid === undefined ? [] : [`--reuid=${uid}`]),
    ...(gid === undefined ? [] : [`--regid=${gid}`]),
    ...(uid === undefined && gid === undefined ? [] : ['--clear-groups']),
  ]
  return [prefix, [...user, '--pdeathsig=KILL', '--', process.execPath, ...args], options]
}

let found: string | false | undefined

/**
 * The path of util-linux's setpriv, where it is (a daemon's own PATH may not name it): with it the kernel kills a daemon when its front dies, however it dies. Without
 * it a daemon ends itself when its control socket closes, which one that spins on its main thread does not see.
 */
function deathSignal(): string | undefined {
  if (process.platform !== 'linux') return undefined
  found ??= (process.env['PATH'] ?? '').split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, 'setpriv'))
    .find((file) => existsSync(file) && spawnSync(file, ['--pdeathsig=KILL', 'true']).status === 0) ?? false
  return found === false ? undefined : found
}

function permissionArguments(permission: PermissionSpec | undefined): string[] {
  if (permission === undefined) return []
  // Each path once: Node 20.19 aborts where it is told one twice.
  const readable = new Set([...ownCode(), ...permission.read, ...permission.read.flatMap(packageFiles)])
  return [
    permissionFlag(),
    ...[...readable].map((folder) => `--allow-fs-read=${folder}`),
    ...[...new Set(permission.write)].map((folder) => `--allow-fs-write=${folder}`),
    '--allow-worker',
    ...(process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : []),
  ]
}

/**
 * The number of a user or a group, by the system's own databases.
 * @throws Error when there is none of that name
 */
export function idOf(kind: 'user' | 'group', name: string | number): number {
  if (typeof name === 'number' || /^\d+$/.test(name)) return Number(name)
  const { stdout, status } = kind === 'user'
    ? spawnSync('id', ['-u', name], { encoding: 'utf8' })
    : spawnSync('getent', ['group', name], { encoding: 'utf8' })
  const id = kind === 'user' ? stdout?.trim() : stdout?.split(':')[2]
  if (status !== 0 || id === undefined || !/^\d+$/.test(id)) throw new Error(`there is no ${kind} '${name}' on this system`)
  return Number(id)
}

/** The group that a user logs in with. */
export function loginGroup(uid: number): number | undefined {
  const { stdout, status } = spawnSync('id', ['-g', String(uid)], { encoding: 'utf8' })
  return status === 0 && /^\d+\n?$/.test(stdout) ? Number(stdout) : undefined
}
