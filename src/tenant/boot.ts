import Module from 'node:module'
import os from 'node:os'
import { MessagePort } from 'node:worker_threads'
import { Scoreboard } from '../wire/scoreboard.ts'
import { harden } from './harden.ts'
import { serveFront } from './serve-front.ts'
import type { BootRequest } from '../wire/boot-request.ts'

/**
 * The entry of a context's thread. Everything this module reaches is loaded by
 * every tenant, so it imports no package and the architecture test keeps a
 * budget on it; bundle.mjs makes one CommonJS file of it all. Never returns: the
 * thread ends with the process's own exit.
 */
export default async function boot({ link, scoreboard, handover, spare, handsOver, nice }: BootRequest): Promise<never> {
  standBack(nice)
  // Tinypool's own ports would keep this thread alive for ever, and at their other end the front's process.
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): unknown[] }
  for (const handle of handles.call(process)) {
    if (handle instanceof MessagePort && handle !== link && handle !== handover) handle.close()
  }
  hideOwnModule()
  harden()
  await serveFront(link, new Scoreboard(scoreboard), handover)
  if (spare) import('./rehearsal.ts').then(({ prepare }) => prepare(handsOver)).catch(() => {})
  return await new Promise<never>(() => {})
}

/** Under `node entry` nothing was required before the entry. */
function hideOwnModule(): void {
  const { _cache: required } = Module as unknown as { readonly _cache: Record<string, unknown> }
  for (const file of Object.keys(required)) delete required[file]
}

/** On Linux a nice value is a thread's, and what it starts inherits it; elsewhere it would be the whole process's. */
function standBack(nice: number): void {
  if (nice === 0 || process.platform !== 'linux') return
  try {
    os.setPriority(0, nice)
  } catch {
    // A sandbox forbids it: a thread at the front's own priority still works.
  }
}
