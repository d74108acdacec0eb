import { readlinkSync } from 'node:fs'
import os from 'node:os'
import v8 from 'node:v8'
import { MessagePort } from 'node:worker_threads'
import { PortCarrier } from '../wire/carrier.ts'
import { Cell, Scoreboard } from '../wire/scoreboard.ts'
import { Service } from './service.ts'
import { harden } from './harden.ts'

/** What the front hands to a new thread. */
export interface BootRequest {
  readonly port: MessagePort
  readonly scoreboard: SharedArrayBuffer
  /** How far this thread stands back for the front; 0 to 19. */
  readonly nice: number
}

/** How often a context writes its heartbeat and its memory to the scoreboard. */
export const HEARTBEAT_INTERVAL = 500

/**
 * The entry of a context's thread. Everything this module reaches is loaded by
 * every tenant, so it imports no package and the architecture test keeps a
 * budget on it. Never returns: the thread ends with the process's own exit.
 */
export default async function boot({ port, scoreboard: buffer, nice }: BootRequest): Promise<never> {
  standBack(nice)
  // Tinypool's own ports would keep this thread alive for ever, and at their other end the front's process.
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): unknown[] }
  for (const handle of handles.call(process)) if (handle instanceof MessagePort && handle !== port) handle.close()
  harden()
  const scoreboard = new Scoreboard(buffer)
  scoreboard.write(Cell.threadId, readThreadId())
  beat(scoreboard)
  setInterval(beat, HEARTBEAT_INTERVAL, scoreboard).unref()
  const carrier = new PortCarrier(
    port,
    (batch) => service.channel.receive(batch),
    // The front is gone, and with it every client.
    () => process.exit(),
  )
  const service: Service = new Service(carrier, scoreboard, {
    ref: () => port.ref(),
    unref: () => port.unref(),
  })
  // What was written before process.exit() or a crash has left, as it has behind a socket.
  process.once('exit', () => service.channel.flush())
  return await new Promise<never>(() => {})
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

/** By which the front finds this thread's CPU time; 0 where the system, or the permission model, does not say it. */
function readThreadId(): number {
  try {
    return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0] ?? 0)
  } catch {
    return 0
  }
}

function beat(scoreboard: Scoreboard): void {
  const heap = v8.getHeapStatistics()
  scoreboard.write(Cell.heapUsed, heap.used_heap_size)
  scoreboard.write(Cell.external, heap.external_memory)
  scoreboard.write(Cell.heartbeat, Date.now())
}
