import { MessageChannel } from 'node:worker_threads'
import { Handover } from '../context/handover.ts'
import { serveFront } from '../tenant/serve-front.ts'
import { Scoreboard } from '../wire/scoreboard.ts'
import type { ContextSpec } from '../context/context.ts'
import type { FrontAddress } from '../wire/boot-request.ts'

/** The application that has the main thread; a process has one. */
let taken: string | undefined

/**
 * Runs `%{GLOBAL}`: the application on this process's own main thread, for
 * native add-ons that cannot live in a worker. It ends only with the process; `onRelease`: it has served its last
 * request, and only its own work is left.
 */
export function runHere(
  spec: ContextSpec, address: FrontAddress, onRelease: () => void, onFailure: (error: unknown) => void,
): { readonly scoreboard: Scoreboard; readonly handover: Handover; cpuTime(): number; end(): void } {
  if (taken !== undefined) {
    throw new Error(`the main thread of this daemon runs '${taken}' already: give each %{GLOBAL} a process group of its own`)
  }
  taken = spec.directory
  const scoreboard = new Scoreboard()
  // Both ends are this thread's: what is posted is taken as in any other context.
  const { port1, port2 } = new MessageChannel()
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, spec.env, {
    TENANTRY_APPLICATION_GROUP: spec.label,
    TENANTRY_PROCESS_GROUP: spec.processGroup,
  })
  process.chdir(spec.directory)
  serveFront(address, scoreboard, port2, onRelease).catch(onFailure)
  return {
    scoreboard,
    handover: new Handover(port1),
    cpuTime() {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1000
    },
    end: () => process.exit(),
  }
}
