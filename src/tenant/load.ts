import Module, { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { fromExports, fromServer } from './application.ts'
import { interceptListen } from './listen.ts'
import { nodeFs } from './node-internals.ts'
import { standIn } from './working-directory.ts'
import type http from 'node:http'
import type { Application } from './application.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { LoadRequest } from '../wire/frames.ts'

/** The mounts' applications, in the mounts' order. Rejects with what the entry threw. */
export async function loadApplications(request: LoadRequest, lifecycle: Lifecycle): Promise<Application[]> {
  const listening: http.Server[] = []
  let wake: (() => void) | undefined
  interceptListen((server) => {
    listening.push(server)
    wake?.()
  })
  // Nothing of the tenant has run yet, and there was nothing in it.
  if (request.environment !== undefined) Object.assign(process.env, request.environment)
  lifecycle.publish()
  standIn(request.directory)
  for (const id of request.preload) await importFrom(id, request.directory)

  const applications: Application[] = []
  for (const { entry } of request.mounts) {
    listening.length = 0
    const exported = await importEntry(entry)
    // A server that listens during the import may do so one tick later.
    await new Promise((resolve) => setImmediate(resolve))
    let application =
      listening[0] === undefined ? await fromExports(exported, request.kind, lifecycle) : fromServer('listen', listening[0])
    if (application === undefined && (request.kind === 'node' || request.kind === 'fetch')) {
      throw new Error(`${entry} exports nothing that can be served as kind '${request.kind}'`)
    }
    while (application === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      if (listening[0] !== undefined) application = fromServer('listen', listening[0])
    }
    applications.push(application)
  }
  return applications
}

/**
 * Loads the entry as the main module, so that `require.main === module` and
 * `process.argv[1]` hold as they do under `node entry`.
 */
async function importEntry(entry: string): Promise<unknown> {
  process.argv = [process.argv[0] as string, entry]
  if (isCommonJs(entry)) {
    try {
      return { default: (Module as unknown as ModuleLoader)._load(entry, null, true) }
    } catch (error) {
      const code = (error as { code?: unknown } | null)?.code
      // An ES module after all: where Node cannot require it, it can import it.
      if (code !== 'ERR_REQUIRE_ESM' && code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error
    }
  }
  return await import(pathToFileURL(entry).href)
}

interface ModuleLoader {
  _load(request: string, parent: null, isMain: boolean): unknown
}

function isCommonJs(entry: string): boolean {
  const extension = path.extname(entry)
  if (extension === '.cjs' || extension === '.cts') return true
  if (extension === '.mjs' || extension === '.mts') return false
  return packageType(path.dirname(entry)) !== 'module'
}

/** "type" of the nearest package.json, as Node looks for it. */
function packageType(directory: string): unknown {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      return (JSON.parse(nodeFs.readFileSync(path.join(at, 'package.json'), 'utf8')) as { type?: unknown }).type
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !(error instanceof SyntaxError)) throw error
    }
    if (path.dirname(at) === at || path.basename(at) === 'node_modules') return undefined
  }
}

async function importFrom(id: string, directory: string): Promise<unknown> {
  const resolved = path.isAbsolute(id) ? id : createRequire(path.join(directory, 'noop.js')).resolve(id)
  return await import(pathToFileURL(resolved).href)
}
