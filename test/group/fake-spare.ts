import type { ContextSpec, SpareContext, SpareState } from '../../src/context/context.ts'
import type { EndReason } from '../../src/events.ts'
import type { FakeContext } from './fake-context.ts'

/** A spare context without a thread: a test says when it has booted, and when it is gone. */
export class FakeSpare implements SpareContext {
  readonly ended: Promise<void>
  state: SpareState = 'starting'
  reason: EndReason | undefined
  context: FakeContext | undefined
  /** Takes its time to end: a test says when, with exit(). */
  lingers = false
  readonly #become: (spec: ContextSpec) => FakeContext
  #resolveEnded: () => void = () => {}

  constructor(become: (spec: ContextSpec) => FakeContext) {
    this.#become = become
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
  }

  get gone(): boolean {
    return this.state === 'exited' || this.state === 'taken'
  }

  boot(): void {
    if (this.state === 'starting') this.state = 'spare'
  }

  take(spec: ContextSpec): FakeContext {
    if (this.state !== 'starting' && this.state !== 'spare') throw new Error(`a spare that is ${this.state} was taken`)
    this.state = 'taken'
    this.context = this.#become(spec)
    return this.context
  }

  end(reason: EndReason): void {
    if (this.state !== 'starting' && this.state !== 'spare') return
    this.reason = reason
    this.state = 'ending'
    if (!this.lingers) this.exit()
  }

  exit(): void {
    if (this.gone) return
    this.state = 'exited'
    this.#resolveEnded()
  }
}
