import Module from 'node:module'
import os from 'node:os'
import { workerData } from 'node:worker_threads'
import { Scoreboard } from '../wire/scoreboard.ts'
import { harden } from './harden.ts'
import { serveFront } from './serve-front.ts'
import type { BootRequest } from '../wire/boot-request.ts'

/*
 * The entry of a context's thread. Everything that this module reaches is loaded by every tenant, so it imports no package
 * and the architecture test keeps a budget on it. bundle.mjs makes one CommonJS file of it all.
 */
const { link, scoreboard, handover, spare, handsOver, nice } = workerData as BootRequest
standBack(nice)
hideOwnModule()
harden()
// What it rejects with is uncaught: the thread ends, and its front hears why.
void serveFront(link, new Scoreboard(scoreboard), handover).then(async () => {
  if (spare) await import('./rehearsal.ts').then(({ prepare }) => prepare(handsOver)).catch(() => {})
})

/** Under `node entry` the entry is the main module, or there is none, and nothing else was required before it. */
function hideOwnModule(): void {
  const { _cache: required } = Module as unknown as { readonly _cache: Record<string, unknown> }
  for (const file of Object.keys(required)) delete required[file]
  delete process.mainModule
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
