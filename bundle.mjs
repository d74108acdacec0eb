/**
 * `node bundle.mjs dist`: makes one CommonJS file of what a context's thread loads, `tenant/boot.cjs`, from the compiled
 * modules beside it. A start is so 4 to 9 ms shorter than with 24 ES modules (docs/starts.md), and what loads late still
 * runs late: its module's code is in the file, in a function that the first `import()` calls, so nothing exists twice.
 * `tenant/boot.mjs` requires it: to import it would first search it for the names that it exports, 10 to 12 ms on Node 20
 * and 22. Not minified: a stack trace shows our names.
 */
import { build } from 'esbuild'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const ENTRY = `import { createRequire } from 'node:module'
export default createRequire(import.meta.url)('./boot.cjs').default
`

/** `folder`: the compiled src/. */
export async function bundle(folder) {
  const { metafile } = await build({
    entryPoints: [path.join(folder, 'tenant/boot.js')],
    outfile: path.join(folder, 'tenant/boot.cjs'),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    metafile: true,
    logLevel: 'warning',
  })
  const foreign = Object.keys(metafile.inputs).filter((file) => path.relative(folder, file).startsWith('..'))
  if (foreign.length > 0) throw new Error(`a context would load ${foreign.join(', ')}, which is not our own code`)
  await writeFile(path.join(folder, 'tenant/boot.mjs'), ENTRY)
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await bundle(process.argv[2])
