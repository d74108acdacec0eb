// A folder of some hundred tenants of several kinds, whose code can be changed while they are served.
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

/** Each kind of application in turn; `source` is its entry module. */
const KINDS = [
  { name: 'node', source: call('node.mjs', 'handler', 'export default') },
  { name: 'fetch', source: (host, version) => `import { fetcher } from '../../apps/web.mjs'
export default { fetch: fetcher(${JSON.stringify(host)}, ${version}) }\n` },
  { name: 'listen', source: (host, version) => `import { createServer } from 'node:http'
import { handler } from '../../apps/node.mjs'
createServer(handler(${JSON.stringify(host)}, ${version})).listen(8080)\n` },
  { name: 'sockets', source: call('sockets.mjs', 'serve', '') },
  { name: 'express', source: (host, version) => `import express from 'express'
import { handler } from '../../apps/node.mjs'
export default express().use(handler(${JSON.stringify(host)}, ${version}))\n` },
]

function call(file, name, how) {
  return (host, version) => `import { ${name} } from '../../apps/${file}'\n${how} ${name}(${JSON.stringify(host)}, ${version})\n`
}

export class Tenants {
  #root = mkdtempSync(join(tmpdir(), 'tenantry-soak-'))
  #versions = new Map()
  /** In the order of their popularity. */
  hosts
  /** Hosts whose entry throws just now. */
  broken = new Set()
  /** Hosts whose entry was written, and that the server may or may not have read again. */
  changing = new Set()

  constructor(count) {
    cpSync(here('apps'), join(this.#root, 'apps'), { recursive: true })
    symlinkSync(here('../../node_modules'), join(this.#root, 'node_modules'))
    this.hosts = Array.from({ length: count }, (_, index) => `t${String(index).padStart(3, '0')}.soak.test`)
    for (const host of this.hosts) {
      mkdirSync(join(this.folder, host), { recursive: true })
      this.change(host)
    }
  }

  get folder() {
    return join(this.#root, 'tenants')
  }

  kind(host) {
    return KINDS[this.hosts.indexOf(host) % KINDS.length].name
  }

  version(host) {
    return this.#versions.get(host) ?? 0
  }

  /** New code for that host; in one step, for it may be read at any time. */
  change(host) {
    const version = this.version(host) + 1
    this.#versions.set(host, version)
    this.broken.delete(host)
    this.#write(host, KINDS[this.hosts.indexOf(host) % KINDS.length].source(host, version))
  }

  /** Code that does not load. */
  break(host) {
    this.broken.add(host)
    this.#write(host, "throw new Error('broken on demand')\n")
  }

  remove() {
    rmSync(this.#root, { recursive: true, force: true })
  }

  #write(host, source) {
    const file = join(this.folder, host, 'index.mjs')
    writeFileSync(`${file}.new`, source)
    renameSync(`${file}.new`, file)
  }
}
