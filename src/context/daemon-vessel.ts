import { SocketCarrier } from '../wire/socket-carrier.ts'
import { Scoreboard } from '../wire/scoreboard.ts'
import type { FrontAddress } from '../wire/boot-request.ts'
import type { Door } from './door.ts'
import type { Vessel, VesselListener } from './vessel.ts'

/** A context in a daemon: its relay comes in at the door, the rest over the daemon's control socket. */
export class DaemonVessel implements Vessel {
  readonly carrier: SocketCarrier
  /** As the daemon last told. */
  readonly scoreboard = new Scoreboard()
  readonly address: FrontAddress
  readonly isMain: boolean
  readonly listener: VesselListener
  readonly #door: Door
  readonly #endContext: () => void
  #cpu = 0
  /** How it ended, once its daemon has said so. */
  #exit: { readonly code: number | null; readonly crash: Error | undefined } | undefined
  #over = false
  #relay: 'awaited' | 'open' | 'closed' = 'awaited'

  constructor(listener: VesselListener, door: Door, isMain: boolean, endContext: () => void) {
    this.listener = listener
    this.isMain = isMain
    this.#door = door
    this.#endContext = endContext
    this.carrier = new SocketCarrier((batch) => listener.onBatch(batch), () => this.#onRelayClosed())
    this.address = door.expect((socket, first) => {
      this.#relay = 'open'
      this.carrier.attach(socket, first)
    })
  }

  cpuTime(): number {
    return this.#cpu
  }

  unref(): void {
    this.carrier.unref()
  }

  end(): void {
    this.#endContext()
  }

  /** False for what is no scoreboard. */
  beat(cpu: number, cells: unknown): boolean {
    this.#cpu = cpu
    return this.scoreboard.fill(cells)
  }

  /** Its daemon says that it is gone; what it sent before may still lie in the socket. */
  exited(code: number | null, crash: Error | undefined): void {
    this.#exit = { code, crash }
    this.#door.forget(this.address)
    if (this.#relay !== 'open') this.#finish()
  }

  #onRelayClosed(): void {
    this.#relay = 'closed'
    // A context that lost its front is of no use.
    if (this.#exit === undefined) this.#endContext()
    else this.#finish()
  }

  #finish(): void {
    if (this.#over || this.#exit === undefined) return
    this.#over = true
    this.listener.onExit(this.#exit.code, this.#exit.crash)
  }
}
