/**
 * `node bundle.mjs dist`: makes one CommonJS file of what a context's thread loads, `tenant/boot.cjs`, from the compiled
 * modules beside it. A start is so 12 to 14 ms shorter than with 24 ES modules (docs/starts.md), and what loads late still
 * runs late: its module's code is in the file, in a function that the first `import()` calls, so nothing exists twice.
 * Not minified: a stack trace shows our names.
 */
import { build } from 'esbuild'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

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
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await bundle(process.argv[2])
