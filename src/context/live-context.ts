import { isErrorCode, TenantryError } from '../errors.ts'
import { cutText, publish, requestError } from '../events.ts'
import { StateMachine } from '../state.ts'
import { FrontChannel } from '../wire/front-channel.ts'
import { restoreError } from '../wire/error-record.ts'
import type { Clock } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { Transitions } from '../state.ts'
import type { ErrorRecord } from '../wire/frames.ts'
import type { ContextListener } from '../wire/front-channel.ts'
import type { HandedRefusal } from '../wire/held.ts'
import type { ScoreboardReader } from '../wire/scoreboard.ts'
import type { Context, ContextEnd, ContextSpec, ContextState, OfferedConnection } from './context.ts'
import type { OpenVessel, Vessel, VesselListener } from './vessel.ts'

const TRANSITIONS: Transitions<ContextState> = {
  starting: ['serving', 'exited', 'zombie'],
  serving: ['draining', 'exited', 'zombie'],
  draining: ['exited', 'zombie'],
  zombie: ['exited'],
  exited: [],
}

let nextId = 1

/** One context as the front sees it, whatever runs it: from its start to its end, each for a named reason. */
export class LiveContext implements Context, ContextListener, VesselListener {
  readonly id: number = nextId++
  readonly spec: ContextSpec
  readonly ready: Promise<void>
  readonly ended: Promise<ContextEnd>
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #state = new StateMachine('context', TRANSITIONS, 'starting')
  readonly #vessel: Vessel
  readonly #environment: Readonly<Record<string, string>> | undefined
  readonly #channel: FrontChannel
  readonly #stopStartup: () => void
  #stopDeadline: (() => void) | undefined
  #resolveReady: () => void = () => {}
  #rejectReady: (error: TenantryError) => void = () => {}
  #resolveEnded: (end: ContextEnd) => void = () => {}
  /** Why we end it; undefined while nobody but the tenant itself would. */
  /** `fault`: what somebody holds against it; one that is ended because nobody needs it has none. */
  #ending: { readonly reason: EndReason; readonly error: TenantryError; readonly fault: TenantryError | undefined } | undefined
  /** Why it drains. */
  #drained: EndReason | undefined
  onCondemned: ((reason: EndReason, error: TenantryError) => void) | undefined
  onRefusal: ((code: ErrorCode) => void) | undefined
  onMisdirected: ((peer: string) => void) | undefined

  /** `environment`: what its thread was started without. */
  constructor(spec: ContextSpec, clock: Clock, open: OpenVessel, environment?: Readonly<Record<string, string>>) {
    this.spec = spec
    this.#environment = environment
    this.#clock = clock
    this.#startedAt = clock.now()
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    // Whoever waits hears of it; nobody has to wait.
    this.ready.catch(() => {})
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#vessel = open(this)
    this.#channel = new FrontChannel(this.#vessel.carrier, this, spec.limits.bufferLimit || Infinity)
    this.#stopStartup = clock.after(spec.limits.startupTimeout, () => {
      const message = `The application group '${spec.label}' did not become ready within startupTimeout (${spec.limits.startupTimeout} ms)`
      this.terminate('startup', new TenantryError('ERR_START_TIMEOUT', message, { label: spec.label })).catch(() => {})
    })
    publish('tenantry:context:start', this.#names())
  }

  get state(): ContextState {
    return this.#state.current
  }

  get scoreboard(): ScoreboardReader {
    return this.#vessel.scoreboard
  }

  get inFlight(): number {
    return this.#channel.size
  }

  cpuTime(): number {
    return this.#vessel.cpuTime()
  }

  get channel(): FrontChannel {
    if (!this.#state.is('serving', 'draining')) {
      throw new TenantryError('ERR_STATE', `The context ${this.id} is ${this.state} and takes no request`)
    }
    return this.#channel
  }

  handOver(connection: OfferedConnection): boolean {
    return this.#ending === undefined && this.#state.is('serving') && this.#vessel.handOver(connection)
  }

  drain(reason?: EndReason): void {
    if (!this.#state.is('serving')) return
    this.#drained = reason
    this.#state.to('draining')
    this.#channel.drain()
  }

  async terminate(reason: EndReason, error?: TenantryError): Promise<ContextEnd> {
    if (this.#ending === undefined && !this.#state.is('exited', 'zombie')) {
      const { label } = this.spec
      this.#ending = {
        reason,
        fault: error,
        error: error ?? new TenantryError('ERR_CONTEXT_EXITED', `The context of '${label}' was ended: ${reason}`, { label }),
      }
      this.#rejectReady(this.#ending.error)
      this.onCondemned?.(reason, this.#ending.error)
      this.#channel.close(this.#ending.error)
      this.#stopDeadline = this.#clock.after(this.spec.limits.terminateTimeout, () => this.#outlive())
      this.#vessel.end()
    }
    return await this.ended
  }

  // What the context says.

  onBatch(batch: unknown): void {
    this.#channel.receive(batch)
  }

  onLine(stream: 'stdout' | 'stderr', line: string): void {
    publish('tenantry:context:output', { ...this.#names(), stream, line })
  }

  onHello(): void {
    const { mounts, kind, preload, directory, label, requests, pace, limits: { trimTimeout } } = this.spec
    const held = pace === undefined ? undefined : { requests, pace }
    this.#channel.load({ mounts, kind, preload, directory, label, held, environment: this.#environment, trimTimeout })
  }

  onReady(): void {
    if (!this.#state.is('starting') || this.#ending !== undefined) return
    this.#stopStartup()
    // While it started, somebody may have waited for it: an idle context does not hold the process.
    this.#vessel.unref()
    this.#state.to('serving')
    publish('tenantry:context:ready', {
      ...this.#names(),
      milliseconds: Math.round(this.#clock.now() - this.#startedAt),
    })
    this.#resolveReady()
  }

  onFailed(record: ErrorRecord): void {
    if (!this.#state.is('starting')) return
    const { label, mounts } = this.spec
    // Not every error says where it was: a SyntaxError of an ES module names no file.
    const entries = mounts.map(({ entry }) => entry).join(', ')
    const message = `The application of '${label}' could not be loaded from ${entries}: ${record.message}`
    const error = new TenantryError('ERR_START_FAILED', message, { label, cause: restoreError(record) })
    this.terminate('startup', error).catch(() => {})
  }

  onRefused({ code, message, host, peer, method, outcome }: HandedRefusal): void {
    // A tenant could make one up.
    if (!isErrorCode(code)) return this.onViolation('a refusal with a code that there is not')
    const { label } = this.spec
    if (code === 'ERR_MISDIRECTED') this.onMisdirected?.(peer)
    this.onRefusal?.(code)
    if (outcome === 'refused') {
      publish('tenantry:admission:refuse', { host: cutText(host), label, code, message })
    } else if (requestError.watched) {
      const error = new TenantryError(code, message, { label })
      const truncated = outcome === 'truncated'
      requestError.publish({ label, contextId: this.id, requestId: 0, method: cutText(method), code, truncated, error })
    }
  }

  onViolation(what: string): void {
    const { label } = this.spec
    const message = `The context of '${label}' broke the protocol: ${what}`
    this.terminate('protocol', new TenantryError('ERR_PROTOCOL', message, { label })).catch(() => {})
  }

  onExit(exitCode: number | null, crash: Error | undefined): void {
    this.#stopStartup()
    this.#stopDeadline?.()
    this.#channel.settle()
    const wasStarting = this.#state.is('starting')
    const wasZombie = this.#state.is('zombie')
    const { reason, error } = this.#ending ?? this.#blame(exitCode, crash, wasStarting)
    this.#state.to('exited')
    this.#rejectReady(error)
    // Before its requests fail: whoever asks again at once must not get a slot in it. That of a zombie was told before.
    this.#resolveEnded({ reason, terminated: this.#ending !== undefined, exitCode, error, zombie: false })
    this.#channel.close(error)
    this.#vessel.carrier.close()
    if (wasZombie) return
    publish('tenantry:context:exit', { ...this.#names(), reason, exitCode, error: this.#ending === undefined ? crash : this.#ending.fault })
  }

  /** Past its deadline: counted and left alone, for nothing but the end of its process ends it. */
  #outlive(): void {
    if (this.#state.is('exited')) return
    this.#state.to('zombie')
    this.#vessel.carrier.close()
    const { reason, error } = this.#ending as { reason: EndReason; error: TenantryError }
    this.#resolveEnded({ reason, terminated: true, exitCode: null, error, zombie: true })
    publish('tenantry:context:exit', { ...this.#names(), reason, exitCode: null, error })
    publish('tenantry:warning', {
      label: this.spec.label,
      message: `The thread of context ${this.id} did not end within terminateTimeout and is left behind as a zombie`,
    })
  }

  /** It ended without us: by what? */
  #blame(exitCode: number | null, cause: Error | undefined, wasStarting: boolean): { reason: EndReason; error: TenantryError } {
    const { label } = this.spec
    // The vessel knows better than we do, such as a daemon that died with all its contexts.
    if (cause instanceof TenantryError) return { reason: 'crash', error: cause }
    const code = (cause as { code?: unknown } | undefined)?.code
    if (code === 'ERR_WORKER_INIT_FAILED') {
      const message = `No thread could be started for '${label}': the process is at its limit of descriptors or memory`
      return { reason: 'startup', error: new TenantryError('ERR_GROUP_LIMIT', message, { label, retryAfter: 5, cause }) }
    }
    if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
      const message = `The context of '${label}' ran out of memory`
      return { reason: 'memory', error: new TenantryError('ERR_CONTEXT_MEMORY', message, { label, cause }) }
    }
    const how = cause === undefined ? `exited with code ${exitCode}` : `crashed: ${cause.message}`
    const finished = this.#state.is('draining') && this.#channel.size === 0
    const reason = cause === undefined ? ((finished ? this.#drained : undefined) ?? 'exit') : 'crash'
    if (!wasStarting) {
      return { reason, error: new TenantryError('ERR_CONTEXT_EXITED', `The context of '${label}' ${how}`, { label, cause }) }
    }
    // 0: its event loop ran empty; 13: its top-level await never settled. With any other it has ended itself.
    const ranDry = cause === undefined && (exitCode === 0 || exitCode === 13)
    const hint = ranDry ? '; it exports nothing that can be served and no server listens' : ''
    const message = `The application of '${label}' ${how} while it was loading${hint}`
    return { reason: 'startup', error: new TenantryError('ERR_START_FAILED', message, { label, cause }) }
  }

  #names(): { label: string; processGroup: string; contextId: number } {
    return { label: this.spec.label, processGroup: this.spec.processGroup, contextId: this.id }
  }
}
