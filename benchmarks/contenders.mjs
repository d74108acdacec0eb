// Who is compared: a name, the program that serves, and what it needs to be there. Every program serves the same hello
// world and prints `listening on http://…`; `hosts`: it serves a second host from another application as well.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openDescriptors } from '../dist/context/descriptors.js'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

export const contenders = {
  /** The bound: the application on node:http, nothing else. */
  bare: { program: 'servers/bare.mjs' },
  /** The same program twice shows what this machine makes of no difference at all. */
  'bare-again': { program: 'servers/bare.mjs' },
  relay: tenantry({ lane: 'relay' }),
  handoff: tenantry({ lane: 'handoff' }),
  'process-relay': tenantry({ lane: 'relay', processes: true }),
  'process-handoff': tenantry({ lane: 'handoff', processes: true }),
  watt: peer('watt', ['gateway'], needsPackage('wattpm')),
  'watt-entry': peer('watt', ['entry'], needsPackage('wattpm')),
  'thread-interceptor': peer('node', ['thread-interceptor'], needsPackage('undici-thread-interceptor')),
  piscina: peer('node', ['piscina'], needsPackage('piscina')),
  'http-proxy': peer('node', ['http-proxy'], needsPackage('http-proxy-3')),
  'undici-proxy': peer('node', ['undici-proxy'], needsPackage('undici')),
  workerd: peer('workerd', ['direct'], needsPackage('workerd')),
  'workerd-router': peer('workerd', ['router'], needsPackage('workerd')),
  'mod-wsgi-embedded': peer('mod-wsgi', ['embedded'], needsApache),
  'mod-wsgi-daemon': peer('mod-wsgi', ['daemon'], needsApache),
}

function tenantry(settings) {
  return { program: 'servers/tenantry.mjs', args: [JSON.stringify(settings)], hosts: true, lane: settings.lane, missing: needsLane(settings.lane) }
}

function peer(name, args, missing) {
  return { program: `peers/${name}.mjs`, args, hosts: !args.includes('entry') && !args.includes('direct'), peer: true, missing }
}

function needsLane(lane) {
  return () => lane === 'relay' || openDescriptors() !== undefined ? undefined : 'npm install koffi, or Node 26 on 64-bit Linux'
}

function needsPackage(name) {
  return () => existsSync(here(`peers/node_modules/${name}/package.json`)) ? undefined : 'npm ci --prefix benchmarks/peers'
}

function needsApache() {
  return existsSync('/usr/sbin/apache2') && existsSync('/usr/lib/apache2/modules/mod_wsgi.so')
    ? undefined : 'apt-get install apache2 libapache2-mod-wsgi-py3'
}

/** Splits names into those that can run here and [name, why not] of the others. */
export function present(names) {
  const missing = names.flatMap((name) => {
    const why = contenders[name].missing?.()
    return why === undefined ? [] : [[name, why]]
  })
  return { there: names.filter((name) => missing.every(([other]) => other !== name)), missing }
}
