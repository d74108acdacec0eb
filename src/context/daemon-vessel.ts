import type { Clock } from '../clock.ts'
import { SocketCarrier } from '../wire/socket-carrier.ts'
import { Scoreboard } from '../wire/scoreboard.ts'
import { MOST_UNDER_WAY } from './handover.ts'
import type { FrontAddress } from '../wire/boot-request.ts'
import type { OfferedConnection } from './context.ts'
import type { Door } from './door.ts'
import type { Vessel, VesselListener } from './vessel.ts'

/**
 * How long the relay of a context that is gone is still read: what it sent lies in the socket already. One that stays
 * open was handed to another process; milliseconds.
 */
const LAST_WORDS = 1000

/** What a vessel tells its daemon. */
export interface VesselKeeper {
  readonly clock: Clock
  readonly door: Door
  /** As `Context.handOver`. */
  handOver(connection: OfferedConnection): boolean
  /** Its context is to end. */
  end(): void
  /** Its relay broke off, though nothing says that its context has ended. */
  lost(): void
}

/** A context in a daemon: its relay comes in at the door, the rest over the daemon's control socket. */
export class DaemonVessel implements Vessel {
  readonly carrier: SocketCarrier
  /** As the daemon last told. */
  readonly scoreboard = new Scoreboard()
  readonly address: FrontAddress
  readonly isMain: boolean
  readonly listener: VesselListener
  readonly #keeper: VesselKeeper
  #cpu = 0
  /** Connections that it was given and has not opened yet. */
  #underWay = 0
  /** How it ended, once its daemon has said so. */
  #exit: { readonly code: number | null; readonly crash: Error | undefined } | undefined
  #over = false
  #relay: 'awaited' | 'open' | 'closed' = 'awaited'
  #stopListening: () => void = () => {}

  constructor(listener: VesselListener, isMain: boolean, keeper: VesselKeeper) {
    this.listener = listener
    this.isMain = isMain
    this.#keeper = keeper
    this.carrier = new SocketCarrier((batch) => listener.onBatch(batch), () => this.#onRelayClosed())
    this.address = keeper.door.expect((socket, first) => {
      this.#relay = 'open'
      this.carrier.attach(socket, first)
    })
  }

  cpuTime(): number {
    return this.#cpu
  }

  handOver(connection: OfferedConnection): boolean {
    if (this.#underWay >= MOST_UNDER_WAY || !this.#keeper.handOver(connection)) return false
    this.#underWay++
    return true
  }

  ref(): void {
    this.carrier.ref()
  }

  unref(): void {
    this.carrier.unref()
  }

  end(): void {
    this.#keeper.end()
  }

  /** False for what is no scoreboard. */
  beat(cpu: number, cells: unknown): boolean {
    this.#cpu = cpu
    return this.scoreboard.fill(cells)
  }

  /** So many connections it has opened. */
  taken(count: number): void {
    this.#underWay = Math.max(0, this.#underWay - count)
  }

  /** Its daemon says that it is gone; what it sent before may still lie in the socket. */
  exited(code: number | null, crash: Error | undefined): void {
    this.#exit = { code, crash }
    this.#keeper.door.forget(this.address)
    if (this.#relay !== 'open') this.#finish()
    else this.#stopListening = this.#keeper.clock.after(LAST_WORDS, () => this.carrier.close())
  }

  #onRelayClosed(): void {
    this.#relay = 'closed'
    this.#stopListening()
    if (this.#exit === undefined) this.#keeper.lost()
    else this.#finish()
  }

  #finish(): void {
    if (this.#over || this.#exit === undefined) return
    this.#over = true
    this.listener.onExit(this.#exit.code, this.#exit.crash)
  }
}
