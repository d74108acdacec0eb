// Who is compared: a name, the program that serves, and what it needs to be there. Every program serves the same hello
// world and prints `listening on http://…` or `https://…`; `hosts`: it serves a second host from another application as well.
import { openDescriptors } from '../dist/context/descriptors.js'
import { peers } from './peers.mjs'

export const contenders = {
  /** The bound: the application on node:http, nothing else. */
  bare: { program: 'servers/bare.mjs' },
  /** The same program twice shows what this machine makes of no difference at all. */
  'bare-again': { program: 'servers/bare.mjs' },
  relay: tenantry({ lane: 'relay' }),
  handoff: tenantry({ lane: 'handoff' }),
  'process-relay': tenantry({ lane: 'relay', processes: true }),
  'process-handoff': tenantry({ lane: 'handoff', processes: true }),
  'bare-tls': { program: 'servers/bare-tls.mjs', hosts: true },
  'relay-tls': tenantry({ lane: 'relay', tls: true }),
  'handoff-tls': tenantry({ lane: 'handoff', tls: true }),
  ...peers,
}

function tenantry(settings) {
  return { program: 'servers/tenantry.mjs', args: [JSON.stringify(settings)], hosts: true, lane: settings.lane, missing: needsLane(settings.lane) }
}

function needsLane(lane) {
  return () => lane === 'relay' || openDescriptors() !== undefined ? undefined : 'npm install koffi, or Node 26 on 64-bit Linux'
}

/** Splits names into those that can run here and [name, why not] of the others. */
export function present(names) {
  const missing = names.flatMap((name) => {
    const why = contenders[name].missing?.()
    return why === undefined ? [] : [[name, why]]
  })
  return { there: names.filter((name) => missing.every(([other]) => other !== name)), missing }
}
