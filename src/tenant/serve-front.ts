import v8 from 'node:v8'
import { MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { PortCarrier } from '../wire/carrier.ts'
import { Cell } from '../wire/scoreboard.ts'
import { collectAll, IdleMemory } from './idle-memory.ts'
import { nodeFs } from './node-internals.ts'
import { Service } from './service.ts'
import type { HandoverMessage } from '../wire/handover.ts'
import type { HandedServer } from './handed-server.ts'
import type { BootRequest } from '../wire/boot-request.ts'
import type { Carrier } from '../wire/carrier.ts'
import type { Scoreboard } from '../wire/scoreboard.ts'

/** How often a context writes its heartbeat and its memory to the scoreboard. */
export const HEARTBEAT_INTERVAL = 500

interface Link extends Carrier {
  ref(): void
  unref(): void
  written(): Promise<void>
}

/** Serves the front at the other end of `link`, until either of them ends. `onRelease`: only the application's own work is left. */
export async function serveFront(
  link: BootRequest['link'], scoreboard: Scoreboard, handover: MessagePort | undefined, onRelease: () => void = () => {},
): Promise<void> {
  scoreboard.write(Cell.threadId, readThreadId())
  beat(scoreboard)
  const memory = new IdleMemory(collectAll)
  setInterval(() => {
    beat(scoreboard)
    const { isIdle } = service
    const trimTimeout = isIdle ? service.request.trimTimeout ?? 0 : 0
    const served = scoreboard.read('served')
    if (memory.look(Date.now(), trimTimeout, served, !isIdle)) scoreboard.add(Cell.trims, 1)
  }, HEARTBEAT_INTERVAL).unref()
  const carrier = await open(link, (batch) => service.channel.receive(batch))
  const service: Service = new Service(carrier, scoreboard, {
    ref: () => carrier.ref(),
    unref: () => carrier.unref(),
    release() {
      carrier.unref()
      onRelease()
    },
    written: async () => await carrier.written(),
    isOwed: () => hand(handover === undefined ? undefined : receiveMessageOnPort(handover)?.message),
  })
  // Loaded with the first connection: a context that only the relay serves does without.
  let lane: Promise<HandedServer> | undefined
  const hand = (message: unknown): boolean => {
    if (message === undefined) return false
    lane ??= import('./handed-server.ts').then(({ HandedServer }) => (service.handed = new HandedServer(service)))
    // Where it cannot be loaded, at the limit of descriptors, that is uncaught: the context ends, and its front closes them.
    void lane.then((server) => server.take(message as HandoverMessage, handover as MessagePort))
    return true
  }
  handover?.on('message', hand).unref()
  // What was written before process.exit() or a crash has left, as it has behind a socket.
  process.once('exit', () => {
    service.handed?.wind()
    service.channel.flush()
  })
}

async function open(link: BootRequest['link'], onBatch: (batch: unknown) => void): Promise<Link> {
  // The front is gone, and with it every client.
  const onClose = (): void => process.exit()
  if (link instanceof MessagePort) return new PortCarrier(link, onBatch, onClose)
  // Imported by those who need it: every module here is paid for by every tenant.
  const { connectFront } = await import('./front-link.ts')
  return await connectFront(link, onBatch, onClose)
}

/** By which the front finds this thread's CPU time; 0 where the system, or the permission model, does not say it. */
function readThreadId(): number {
  try {
    return Number(/\d+$/.exec(nodeFs.readlinkSync('/proc/thread-self'))?.[0] ?? 0)
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
