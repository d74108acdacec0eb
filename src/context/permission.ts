import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ContextSpec } from './context.ts'

const require = createRequire(import.meta.url)

/** Our own code, which every context has to read. */
const OWN_CODE = fileURLToPath(new URL('..', import.meta.url))

/**
 * A thread's flags. Without a permission model of its own it gets none of the
 * host's flags, except when the host itself runs under one: an explicit empty
 * list would drop the host's permissions (facts in docs/security.md).
 */
export function execArgvOf(spec: ContextSpec | undefined): { execArgv?: string[] } {
  if (spec?.permission === undefined) return hostIsRestricted() ? {} : { execArgv: [] }
  const { permission, mounts, directory } = spec
  const code = [directory, ...mounts.map(({ entry }) => path.dirname(entry))]
  // Each path once: Node 20.19 aborts the process where it is told one twice.
  const readable = new Set([
    ...code,
    ...code.flatMap(packageFiles),
    ...ownCode(),
    ...packageFolders(directory),
    ...permission.read,
  ])
  return {
    execArgv: [
      permissionFlag(),
      ...[...readable].map((folder) => `--allow-fs-read=${folder}`),
      ...[...new Set(permission.write)].map((folder) => `--allow-fs-write=${folder}`),
      '--no-addons',
    ],
  }
}

/** Node's name for the model. */
export function permissionFlag(): string {
  return process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
}

/** What every context and every daemon reads of ours. */
export function ownCode(): string[] {
  return [
    OWN_CODE,
    ...packageFiles(OWN_CODE),
    ...ancestors(OWN_CODE).map((folder) => path.join(folder, 'node_modules', 'tinypool')),
    path.join(path.dirname(require.resolve('tinypool')), '..'),
  ]
}

function hostIsRestricted(): boolean {
  return (process as unknown as { permission?: unknown }).permission !== undefined
}

// Node 20.19 throws where it looks and may not, before it knows that there is nothing: hence paths that do not exist.

/** Where Node looks for packages of an application. */
function packageFolders(directory: string): string[] {
  return ancestors(directory)
    .map((folder) => path.join(folder, 'node_modules'))
    .map((folder) => existsSync(folder) ? folder : path.join(folder, '*'))
}

/** What Node reads to learn the type of a module. */
export function packageFiles(directory: string): string[] {
  return ancestors(directory).map((folder) => path.join(folder, 'package.json'))
}

function ancestors(directory: string): string[] {
  const parent = path.dirname(directory)
  return parent === directory ? [directory] : [directory, ...ancestors(parent)]
}
