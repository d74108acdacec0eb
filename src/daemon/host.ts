import { Thread } from '../context/thread.ts'
import { recordOf } from '../wire/error-record.ts'
import { BEAT_INTERVAL, Control, CONTROL_VERSION, ControlLink } from '../wire/control.ts'
import { Cell } from '../wire/scoreboard.ts'
import type { Scoreboard } from '../wire/scoreboard.ts'
import { closeOwn } from '../context/handover.ts'
import { ownResident } from '../context/process-usage.ts'
import { Lane } from './lane.ts'
import { runHere } from './main-context.ts'
import type { Socket } from 'node:net'
import type { ContextSpec } from '../context/context.ts'
import type { Handover } from '../context/handover.ts'
import type { FrontAddress } from '../wire/boot-request.ts'
import type { HandedCertificate } from '../wire/handover.ts'
import type { Board, DaemonSetup } from '../wire/control.ts'

/** What a TAKE says. */
type Take = [number: number, context: number, first: Uint8Array, hosts: readonly string[], certificate: HandedCertificate | undefined]

/** What the host knows of a context: its numbers, and how to end it. */
interface Running {
  readonly scoreboard: Scoreboard
  readonly handover: Handover
  cpuTime(): number
  end(): void
}

/** Starts and ends contexts as the front says, and tells it how they are. What comes from the front is trusted. */
export class DaemonHost {
  readonly #link: ControlLink
  readonly #contexts = new Map<number, Running>()
  readonly #beats: NodeJS.Timeout
  readonly #lane = new Lane()
  /** Connections that contexts have opened in this turn of the loop. */
  readonly #taken = new Map<number, number>()

  constructor(socket: Socket) {
    this.#link = new ControlLink(socket, (message) => this.#onMessage(message as readonly unknown[]), () => process.exit())
    this.#link.post([Control.HELLO, CONTROL_VERSION])
    this.#beats = setInterval(() => this.#beat(), BEAT_INTERVAL)
  }

  #onMessage(message: readonly unknown[]): void {
    switch (message[0]) {
      case Control.SETUP:
        setUp(message[1] as DaemonSetup)
        break
      case Control.START:
        this.#start(
          message[1] as number,
          message[2] as ContextSpec | undefined,
          message[3] as FrontAddress,
          message[4] as number,
          message[5] === true,
        )
        break
      case Control.LANE:
        if (this.#lane.open()) this.#link.post([Control.TAKES])
        break
      case Control.TAKE:
        this.#take(message.slice(1) as Take)
        break
      case Control.END:
        this.#contexts.get(message[1] as number)?.end()
        break
      case Control.LOOK:
        this.#beat()
        this.#link.post([Control.LOOKED])
        break
      case Control.EXIT:
        process.exit()
    }
  }

  #start(id: number, spec: ContextSpec | undefined, address: FrontAddress, nice: number, onMain: boolean): void {
    try {
      const running: Running = onMain && spec !== undefined
        ? runHere(spec, address, () => this.#release(), (error) => this.#exited(id, null, error))
        : new Thread(spec, nice, address, {
            onLine: (stream, line) => {
              if (!this.#link.isBehind) this.#link.post([Control.LINE, id, stream, line])
            },
            onExit: (exitCode, crash) => this.#exited(id, exitCode, crash),
          })
      this.#contexts.set(id, running)
      running.handover.onTaken = () => this.#countTaken(id)
    } catch (error) {
      this.#exited(id, null, error)
    }
  }

  #take([number, context, first, hosts, certificate]: Take): void {
    const fd = this.#lane.take(number)
    const running = this.#contexts.get(context)
    if (fd !== undefined && running?.handover.post(fd, { first, hosts, certificate }) === true) return
    // Its context is gone, or takes none: its client sees the connection end, as that of a process that died.
    if (fd !== undefined) closeOwn(fd)
    // Nobody will open it: without this it would count as open, and its context as at work, for ever.
    running?.scoreboard.add(Cell.handedLost, 1)
    this.#countTaken(context)
  }

  #countTaken(context: number): void {
    if (this.#taken.size === 0) setImmediate(() => this.#tellTaken())
    this.#taken.set(context, (this.#taken.get(context) ?? 0) + 1)
  }

  #tellTaken(): void {
    for (const [context, count] of this.#taken) this.#link.post([Control.TAKEN, context, count])
    this.#taken.clear()
  }

  /** Waiting for the front does not keep this process alive any more. */
  #release(): void {
    this.#beats.unref()
    this.#link.unref()
  }

  #exited(id: number, exitCode: number | null, crash: unknown): void {
    // What it did last, too: whether it has answered anybody decides about its back-off.
    this.#beat()
    this.#contexts.delete(id)
    this.#link.post([Control.EXITED, id, exitCode, crash === undefined ? undefined : recordOf(crash)])
  }

  #beat(): void {
    const boards = [...this.#contexts].map(([id, context]): Board => [id, context.cpuTime(), context.scoreboard.cells()])
    const { user, system } = process.cpuUsage()
    this.#link.post([Control.BEAT, ownResident(), (user + system) / 1000, boards])
  }
}

function setUp({ name, umask }: DaemonSetup): void {
  process.title = `tenantry: ${name}`
  if (umask !== undefined) process.umask(umask)
}
