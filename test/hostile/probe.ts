import { subscribe } from 'node:diagnostics_channel'

/**
 * Loaded into the server under attack before its own program: answers the test's messages with what it holds
 * after a forced collection. Warnings count, since Node warns of listeners that pile up.
 */
let warnings = 0
process.on('warning', ({ name }) => { if (name !== 'ExperimentalWarning') warnings++ })

/** Requests that were given to a context and have not come to an end. Who listens for them keeps connections on the relay. */
let open = 0
if (!process.argv.includes('handoff')) {
  subscribe('tenantry:request:start', () => { open++ })
  for (const end of ['finish', 'error']) subscribe(`tenantry:request:${end}`, () => { open-- })
}

process.on('message', () => {
  // Twice: what a finalizer lets go of is garbage of the next collection.
  globalThis.gc?.()
  setImmediate(() => {
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    process.send?.({ held: heapUsed + external, warnings, open })
  })
})
process.channel?.unref()
