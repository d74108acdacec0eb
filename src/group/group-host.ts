import type { Clock } from '../clock.ts'
import type { Context, ContextEnd, CreateContext } from '../context/context.ts'
import type { EndReason } from '../events.ts'
import type { Member } from './member.ts'

/** What a group needs from the house, and what it reports to it: itself, of which this file need not know. */
export interface GroupHost<Group> {
  readonly clock: Clock
  readonly random: () => number
  readonly createContext: CreateContext
  readonly queueTimeout: number
  readonly drainTimeout: number
  onBorn(context: Context): void
  onReady(context: Context): void
  /** It was told to end. */
  onEnding(context: Context): void
  onEnded(context: Context, end: ContextEnd): void
  /** The group leaves the table; what it has in flight goes on. `inUse`: more requests are soon to come. */
  onRetire(group: Group, reason: EndReason, inUse: boolean): void
  onClosed(group: Group): void
  /** A context left a group that goes on; it drains in this one. */
  onParted(group: Group): void
  /** It could do with one more context. */
  onShort(group: Group): void
  /** Its context ended although it was told nothing, and requests wait that may be served by another one. */
  onBereft(group: Group): void
  /** A client's connection moved into one of its contexts. */
  onHandedOver(member: Member): void
  /** A request waited for queueTimeout in vain. */
  onQueueTimeout(): void
  /** The last waiting request went away. */
  onAbandoned(group: Group): void
}
