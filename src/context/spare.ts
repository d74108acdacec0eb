import { publish } from '../events.ts'
import { StateMachine } from '../state.ts'
import { environmentOf } from './environment.ts'
import { LiveContext } from './live-context.ts'
import type { Clock } from '../clock.ts'
import type { EndReason } from '../events.ts'
import type { Transitions } from '../state.ts'
import type { Context, ContextSpec, SpareContext, SpareState } from './context.ts'
import type { OpenVessel, Vessel, VesselListener } from './vessel.ts'

const TRANSITIONS: Transitions<SpareState> = {
  starting: ['spare', 'taken', 'ending', 'exited'],
  spare: ['taken', 'ending', 'exited'],
  taken: [],
  ending: ['exited'],
  exited: [],
}

export interface SpareSettings {
  readonly clock: Clock
  readonly processGroup: string
  /** Until it has booted; milliseconds. */
  readonly startupTimeout: number
  /** From the word to end until it is not waited for any more; milliseconds. */
  readonly terminateTimeout: number
}

/** A thread with our own code loaded and nobody's in it: what it lacks to be a context is a tenant. */
export class Spare implements SpareContext, VesselListener {
  readonly ended: Promise<void>
  readonly #settings: SpareSettings
  readonly #bornAt: number
  readonly #state: StateMachine<SpareState>
  readonly #vessel: Vessel
  readonly #stopStartup: () => void
  #resolveEnded: () => void = () => {}
  /** Why it ends. */
  #reason: EndReason | undefined
  #error: Error | undefined
  /** The first words of its thread, which its context has to hear. */
  #hello: unknown
  /** The context that it has become. */
  #heir: VesselListener | undefined

  constructor(settings: SpareSettings, open: OpenVessel) {
    const { clock, processGroup, startupTimeout } = settings
    this.#settings = settings
    this.#bornAt = clock.now()
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#state = new StateMachine<SpareState>('spare', TRANSITIONS, 'starting', (to, from) => {
      const milliseconds = Math.round(clock.now() - this.#bornAt)
      publish('tenantry:spare:state', { processGroup, from, to, milliseconds, reason: this.#reason, error: this.#error })
    })
    this.#vessel = open(this)
    this.#vessel.unref()
    this.#stopStartup = clock.after(startupTimeout, () => this.end('startup'))
  }

  get state(): SpareState {
    return this.#state.current
  }

  take(spec: ContextSpec): Context {
    this.#state.to('taken')
    this.#stopStartup()
    return new LiveContext(spec, this.#settings.clock, (listener) => this.#inherit(listener), environmentOf(spec))
  }

  end(reason: EndReason): void {
    if (!this.#state.is('starting', 'spare')) return
    this.#reason = reason
    this.#state.to('ending')
    const { clock, terminateTimeout } = this.#settings
    this.#stopStartup()
    this.#vessel.carrier.close()
    this.#vessel.end()
    // Nothing of a tenant's runs in it that could hold it; who waits for its end is not held either way.
    const stop = clock.after(terminateTimeout, () => this.#resolveEnded())
    void this.ended.then(stop)
  }

  onBatch(batch: unknown): void {
    if (this.#heir !== undefined) {
      this.#heir.onBatch(batch)
    } else if (this.#state.is('starting')) {
      this.#hello = batch
      this.#stopStartup()
      // The relay of one in a daemon is there only now.
      this.#vessel.unref()
      this.#state.to('spare')
    } else {
      // It has nothing to say without a tenant.
      this.end('protocol')
    }
  }

  onLine(stream: 'stdout' | 'stderr', line: string): void {
    this.#heir?.onLine(stream, line)
  }

  onExit(exitCode: number | null, crash: Error | undefined): void {
    if (this.#heir !== undefined) {
      this.#heir.onExit(exitCode, crash)
      return
    }
    this.#stopStartup()
    this.#reason ??= crash === undefined ? 'exit' : 'crash'
    this.#error = crash
    this.#vessel.carrier.close()
    this.#state.to('exited')
    this.#resolveEnded()
  }

  #inherit(listener: VesselListener): Vessel {
    this.#heir = listener
    // A context that starts holds the process for whoever waits for it.
    this.#vessel.ref()
    const hello = this.#hello
    // Not at once: the context is still being made.
    if (hello !== undefined) queueMicrotask(() => listener.onBatch(hello))
    return this.#vessel
  }
}
