import path from 'node:path'
import { nodeFs } from './node-internals.ts'

/**
 * Relative paths of an application mean its own folder; a thread cannot change
 * the process's. `process.cwd()`, and path.resolve() with it, answer `directory`
 * or where `process.chdir()` went since; node:fs does not hear of either.
 */
export function standIn(directory: string): void {
  let current = directory
  process.cwd = () => current
  process.chdir = (to) => {
    if (typeof to !== 'string') throw wrongType(to)
    const target = path.resolve(to)
    if (!nodeFs.statSync(target).isDirectory()) throw notDirectory(current, to)
    current = target
  }
}

function wrongType(value: unknown): Error {
  return Object.assign(new TypeError(`The "directory" argument must be of type string. Received ${typeof value}`), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
}

function notDirectory(from: string, to: string): Error {
  return Object.assign(new Error(`ENOTDIR: not a directory, chdir ${from} -> '${to}'`), {
    code: 'ENOTDIR', syscall: 'chdir', path: from, dest: to,
  })
}
