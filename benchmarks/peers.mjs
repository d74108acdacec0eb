// What others use for many applications in one server: how each is started, whether it is there, and its version.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { newerNode } from './peers/launch.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const APACHE = '/usr/sbin/apache2'
const MOD_WSGI = '/usr/lib/apache2/modules/mod_wsgi.so'

const apache = {
  missing: () => existsSync(APACHE) && existsSync(MOD_WSGI) ? undefined : 'apt-get install apache2 libapache2-mod-wsgi-py3',
  version() {
    const [, server] = /Apache\/(\S+)/.exec(run(APACHE, ['-v'])) ?? []
    return `Apache ${server} and mod_wsgi ${run('dpkg-query', ['-W', '-f', '${Version}', 'libapache2-mod-wsgi-py3'])}`
  },
}

export const peers = {
  watt: peer('watt', ['gateway'], inPackage('wattpm', { newer: true })),
  'watt-entry': peer('watt', ['entry'], inPackage('wattpm', { newer: true })),
  'thread-interceptor': peer('node', ['thread-interceptor'], inPackage('undici-thread-interceptor', { newer: true })),
  piscina: peer('node', ['piscina'], inPackage('piscina')),
  'http-proxy': peer('node', ['http-proxy'], inPackage('http-proxy-3')),
  'undici-proxy': peer('node', ['undici-proxy'], inPackage('undici')),
  workerd: peer('workerd', ['direct'], inPackage('workerd')),
  'workerd-router': peer('workerd', ['router'], inPackage('workerd')),
  'mod-wsgi-embedded': peer('mod-wsgi', ['embedded'], apache),
  'mod-wsgi-daemon': peer('mod-wsgi', ['daemon'], apache),
}

/** What a result says of those that were measured: each version once. */
export function versionsOf(names) {
  const said = names.filter((name) => name in peers).map((name) => peers[name].version())
  return said.length === 0 ? [] : [`${[...new Set(said)].join(', ')}; programs on ${run(newerNode(), ['-p', '"Node " + process.version'])}.`]
}

function peer(name, args, requirement) {
  return { program: `peers/${name}.mjs`, args, hosts: !args.includes('entry') && !args.includes('direct'), peer: true, ...requirement }
}

/** `newer`: it does not run on Node 20. */
function inPackage(name, { newer = false } = {}) {
  const file = here(`peers/node_modules/${name}/package.json`)
  return {
    missing() {
      if (!existsSync(file)) return 'npm ci --prefix benchmarks/peers'
      return newer && newerNode() === process.execPath && process.versions.node.startsWith('20.') ? 'npm ci --prefix test/matrix' : undefined
    },
    version: () => `${name} ${JSON.parse(readFileSync(file, 'utf8')).version}`,
  }
}

function run(command, args) {
  return execFileSync(command, args, { encoding: 'utf8' }).trim()
}
