import type { Clock } from '../clock.ts'
import { TenantryError } from '../errors.ts'
import type { Group } from './group.ts'
import type { HandedSum } from './handed-sum.ts'

/** How often the supervisor looks; milliseconds. */
export const TICK = 500

/** A failed group that nobody asked for is forgotten after so long; milliseconds. */
const FORGET_FAILED = 5 * 60_000

/** Looks at every group from time to time and carries out the judgement on its context. */
export class Supervisor {
  readonly #clock: Clock
  readonly #groups: () => readonly Group[]
  readonly #handed: Pick<HandedSum, 'look'>
  readonly #onTick: () => void
  #stop: (() => void) | undefined
  #lookedAt = 0

  constructor(
    clock: Clock,
    groups: () => readonly Group[],
    handed: Pick<HandedSum, 'look'>,
    onTick: () => void,
  ) {
    this.#clock = clock
    this.#groups = groups
    this.#handed = handed
    this.#onTick = onTick
  }

  /** Idempotent. */
  start(): void {
    if (this.#stop !== undefined) return
    this.#lookedAt = this.#clock.now()
    this.#stop = this.#clock.every(TICK, () => this.#look())
  }

  stop(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  #look(): void {
    const now = this.#clock.now()
    // Time in which the front itself stood still proves nothing about a context.
    const elapsed = Math.min(now - this.#lookedAt, TICK * 2)
    this.#lookedAt = now
    this.#handed.look(now)
    for (const group of this.#groups()) supervise(group, now, elapsed)
    this.#onTick()
  }
}

function supervise(group: Group, now: number, elapsed: number): void {
  if (group.state === 'failed' && now > group.retryAt && group.unusedFor(now) > FORGET_FAILED) {
    group.retire('inactivity')
  }
  const idle = group.idle ? group.unusedFor(now) : 0
  for (const member of group.members) {
    const verdict = member.examine(group.target.tenant, idle, now, elapsed)
    if (verdict === undefined || verdict.do === 'keep') continue
    // Idle is the group; worn out is a context.
    if (verdict.do === 'retire' && verdict.reason === 'inactivity') group.retire(verdict.reason)
    else if (verdict.do === 'retire') group.part(member, verdict.reason)
    else group.terminate(verdict.reason, new TenantryError(verdict.code, verdict.message, { label: group.target.label }), [member])
  }
}
