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
export function execArgvOf(spec: ContextSpec): { execArgv?: string[] } {
  const { permission, mounts, directory } = spec
  if (permission === undefined) return hostIsRestricted() ? {} : { execArgv: [] }
  const flag = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
  const readable = new Set([
    OWN_CODE,
    path.join(path.dirname(require.resolve('tinypool')), '..'),
    directory,
    ...mounts.map(({ entry }) => path.dirname(entry)),
    ...packageFolders(directory),
    ...permission.read,
  ])
  return {
    execArgv: [
      flag,
      ...[...readable].map((folder) => `--allow-fs-read=${folder}`),
      ...permission.write.map((folder) => `--allow-fs-write=${folder}`),
      '--no-addons',
    ],
  }
}

function hostIsRestricted(): boolean {
  return (process as unknown as { permission?: unknown }).permission !== undefined
}

/** Where Node looks for packages of an application, and the package.json files it reads on the way. */
function packageFolders(directory: string): string[] {
  const found: string[] = []
  for (let at = directory; ; at = path.dirname(at)) {
    for (const name of ['node_modules', 'package.json']) {
      const candidate = path.join(at, name)
      if (existsSync(candidate)) found.push(candidate)
    }
    if (path.dirname(at) === at) return found
  }
}
