import { TenantryError } from './errors.ts'

/** For each state, the states that may follow it. A state with an empty list is final. */
export type Transitions<S extends string> = Readonly<Record<S, readonly S[]>>

/**
 * The one `state` of a long-lived thing: its table refuses unknown edges, and
 * one callback sees every change, so that an event can never be forgotten.
 */
export class StateMachine<S extends string> {
  readonly #name: string
  readonly #table: Transitions<S>
  readonly #onChange: ((to: S, from: S) => void) | undefined
  #current: S

  constructor(name: string, table: Transitions<S>, initial: S, onChange?: (to: S, from: S) => void) {
    this.#name = name
    this.#table = table
    this.#current = initial
    this.#onChange = onChange
  }

  get current(): S {
    return this.#current
  }

  is(...states: readonly S[]): boolean {
    return states.includes(this.#current)
  }

  /** Whether `to` may follow now. */
  can(to: S): boolean {
    return this.#table[this.#current].includes(to)
  }

  /** Moves on; an edge that the table does not have is a defect and throws ERR_STATE. */
  to(next: S): void {
    const from = this.#current
    if (!this.#table[from].includes(next)) {
      throw new TenantryError('ERR_STATE', `${this.#name} cannot go from ${from} to ${next}`)
    }
    this.#current = next
    this.#onChange?.(next, from)
  }
}
