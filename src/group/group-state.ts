import { publish, watched, type EndReason } from '../events.ts'
import { StateMachine, type Transitions } from '../state.ts'
import type { GroupTarget } from './lease.ts'

export type GroupState = 'starting' | 'serving' | 'failed' | 'draining' | 'closed'

const TRANSITIONS: Transitions<GroupState> = {
  starting: ['serving', 'failed', 'draining', 'closed'],
  // The last context that served is gone, and another one starts already.
  serving: ['starting', 'draining', 'failed', 'closed'],
  failed: ['starting', 'closed'],
  draining: ['closed'],
  closed: [],
}

/** The state of one group and why it is in it; each change is published. */
export class GroupStateMachine {
  readonly #machine: StateMachine<GroupState>
  #reason: EndReason | undefined

  constructor({ label, processGroup }: GroupTarget, initial: GroupState) {
    this.#machine = new StateMachine<GroupState>('group', TRANSITIONS, initial, (to, from) => {
      if (!watched('tenantry:group:state')) return
      publish('tenantry:group:state', { label, processGroup, from, to, reason: this.#reason })
    })
  }

  get current(): GroupState {
    return this.#machine.current
  }

  get reason(): EndReason | undefined {
    return this.#reason
  }

  is(...states: readonly GroupState[]): boolean {
    return this.#machine.is(...states)
  }

  move(to: GroupState, reason: EndReason | undefined): void {
    this.#reason = reason
    this.#machine.to(to)
  }
}
