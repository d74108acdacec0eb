import path from 'node:path'

// Named, since every folder above has a lock file of its own.
const root = path.dirname(import.meta.dirname)

export default { output: 'standalone', outputFileTracingRoot: root, turbopack: { root }, poweredByHeader: false }
