import { TenantryError } from '../../src/errors.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { EndReason } from '../../src/events.ts'
import { Scoreboard } from '../../src/wire/scoreboard.ts'
import type { FrontChannel } from '../../src/wire/front-channel.ts'
import type { Context, ContextEnd, ContextSpec, ContextState } from '../../src/context/context.ts'

/** A context without a thread: a test says when it is ready, crashes or ends. */
export class FakeContext implements Context {
  readonly id: number
  /** By the house's clock. */
  readonly bornAt: number
  readonly spec: ContextSpec
  readonly scoreboard = new Scoreboard()
  /** Requests that are open inside. */
  inFlight = 0
  readonly ready: Promise<void>
  readonly ended: Promise<ContextEnd>
  state: ContextState = 'starting'
  /** CPU used so far, milliseconds. */
  cpu = 0
  terminations: EndReason[] = []
  drains = 0
  /** Does not end by itself when it is drained. */
  stubborn = false
  /** Takes its time to end: a test says when, with exit(). */
  lingers = false
  /** Runs when its requests fail. */
  onEnd: () => void = () => {}
  #doomed: EndReason | undefined
  /** Outlives terminate(). */
  immortal = false
  #resolveReady: () => void = () => {}
  #rejectReady: (error: Error) => void = () => {}
  #resolveEnded: (end: ContextEnd) => void = () => {}

  constructor(spec: ContextSpec, id: number, bornAt = 0) {
    this.spec = spec
    this.bornAt = bornAt
    this.id = id
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {})
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
  }

  /** Connections can move into it. */
  canHandOver = false

  handOver(): boolean {
    return this.canHandOver
  }

  /** Nothing goes over it: it is only compared. */
  readonly channel = {} as FrontChannel

  cpuTime(): number {
    return this.cpu
  }

  get gone(): boolean {
    return this.state === 'exited' || this.state === 'zombie'
  }

  becomeReady(): void {
    if (this.state !== 'starting') return
    this.state = 'serving'
    this.#resolveReady()
  }

  failStart(message = 'boom'): void {
    const error = new TenantryError('ERR_START_FAILED', message)
    this.#finish({ reason: 'startup', terminated: false, exitCode: 1, error, zombie: false })
  }

  crash(): void {
    const error = new TenantryError('ERR_CONTEXT_EXITED', 'it crashed')
    this.#finish({ reason: 'crash', terminated: false, exitCode: 1, error, zombie: false })
  }

  exit(error = new TenantryError('ERR_CONTEXT_EXITED', 'it exited')): void {
    const reason = this.#doomed ?? this.#drained ?? 'exit'
    this.#finish({ reason, terminated: this.#doomed !== undefined, exitCode: 0, error, zombie: false })
  }

  /** The thread of a zombie ended after all. */
  rest(): void {
    if (this.state === 'zombie') this.state = 'exited'
  }

  onRefusal: ((code: ErrorCode) => void) | undefined
  onMisdirected: ((peer: string) => void) | undefined
  onCondemned: ((reason: EndReason, error: TenantryError) => void) | undefined
  #drained: EndReason | undefined

  drain(reason?: EndReason): void {
    this.drains++
    if (this.state !== 'serving') return
    this.#drained = reason
    this.state = 'draining'
    this.#leaveWhenDone()
  }

  /** A request begins inside. */
  open(): void {
    this.inFlight++
  }

  /** A request is over inside. */
  done(): void {
    this.inFlight--
    if (this.state === 'draining') this.#leaveWhenDone()
  }

  #leaveWhenDone(): void {
    if (this.inFlight === 0 && !this.stubborn) this.exit()
  }

  async terminate(reason: EndReason, error?: TenantryError): Promise<ContextEnd> {
    this.terminations.push(reason)
    this.onCondemned?.(reason, error ?? new TenantryError('ERR_CONTEXT_EXITED', 'it was ended'))
    this.onEnd()
    this.#doomed = reason
    if (!this.lingers) this.#finish({ reason, terminated: true, exitCode: null, error, zombie: this.immortal })
    return await this.ended
  }

  #finish(end: ContextEnd): void {
    if (this.gone) return
    this.state = end.zombie ? 'zombie' : 'exited'
    this.#rejectReady(end.error ?? new TenantryError('ERR_START_FAILED', 'it ended'))
    this.#resolveEnded(end)
  }
}
