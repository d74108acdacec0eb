import type { ContextState } from '../context/context.ts'
import type { ErrorCode } from '../errors.ts'
import type { EndReason } from '../events.ts'
import type { Group } from './group.ts'
import type { GroupState } from './group-state.ts'
import type { Handed } from './handed.ts'
import type { Headcount, ZombieStats } from './headcount.ts'
import type { Member } from './member.ts'
import type { Segment } from './policy.ts'
import type { Registry } from './registry.ts'

/** `draining`: it closes; `zombies`: more than maxZombies; `memory`: over maxMemory. */
export type UnreadyReason = 'draining' | 'zombies' | 'memory'

/** One context of a group, seen now. */
export interface GroupContextStats {
  readonly id: number
  readonly state: ContextState
  /** Requests under way, on both lanes. */
  readonly inFlight: number
  /** Requests that it answered. */
  readonly served: number
  /** Heap and external memory, bytes. */
  readonly memory: number
  /** How often it has given memory back while it was idle; see `trimTimeout`. */
  readonly trims: number
}

/** Connections that a group's contexts have got, and what they do on them. */
export interface HandedStats {
  /** Connections that were handed over so far. */
  readonly total: number
  /** Of these, open. */
  readonly connections: number
  readonly inFlight: number
  readonly served: number
}

/** One group, seen now. */
export interface GroupStats {
  readonly key: string
  readonly label: string
  readonly processGroup: string
  readonly pattern: string
  readonly state: GroupState
  /** Where the eviction policy keeps it; undefined when it left the table and only drains. */
  readonly segment: Segment | undefined
  /** More than one where the tenant has `threads`. */
  readonly contexts: readonly GroupContextStats[]
  /** Requests under way, on both lanes. */
  readonly inFlight: number
  readonly queued: number
  readonly failures: number
  /** What of this its contexts do on connections that were handed to them. */
  readonly handed: HandedStats
  /** Requests that its contexts answered. */
  readonly served: number
  /** Heap and external memory of its contexts, bytes. */
  readonly memory: number
}

/** All groups, counted. */
export interface GroupsStats {
  /** Whether new groups can be served: what a load balancer should ask. */
  readonly ready: boolean
  /** Why not: empty when ready. */
  readonly reasons: readonly UnreadyReason[]
  readonly draining: boolean
  readonly groups: Readonly<Record<GroupState, number>>
  readonly contexts: Readonly<Record<ContextState, number>>
  readonly zombies: number
  readonly zombieContexts: readonly ZombieStats[]
  /** Births that wait for a place. */
  readonly pending: number
  readonly inFlight: number
  readonly queued: number
  /** Contexts started since the runtime began. */
  readonly births: number
  /** Of the starts, those that began before a request was complete, on the evidence that one was coming. */
  readonly warmed: number
  /** Contexts that have booted without a tenant, and wait for one. */
  readonly spares: number
  /** Of the starts, those that began from a spare context. */
  readonly fromSpares: number
  /** Contexts that ended, by why: every end, of those that crashed too. */
  readonly ends: Readonly<Partial<Record<EndReason, number>>>
  /** Groups that were made to leave the table, by why. */
  readonly evictions: Readonly<Partial<Record<EndReason, number>>>
  readonly refusals: Readonly<Partial<Record<ErrorCode, number>>>
  /** Never more than maxGroups and those that drain. */
  readonly list: readonly GroupStats[]
}

/** How close() went. */
export interface CloseCount {
  /** Contexts that ended, by themselves or not. */
  readonly ended: number
  /** Of these, contexts that had to be ended: they were starting, or still busy at the deadline. */
  readonly terminated: number
  /** Threads that could not be ended. */
  readonly zombies: number
}

export function countContexts(count: Headcount): Record<ContextState, number> {
  const contexts = { starting: 0, serving: 0, draining: 0, exited: 0, zombie: count.zombies }
  for (const { state } of count.alive) contexts[state]++
  return contexts
}

export function unreadyReasons({ draining, zombies, strained }: Headcount, maxZombies: number): UnreadyReason[] {
  const found = { draining, zombies: zombies > maxZombies, memory: strained }
  return (Object.keys(found) as UnreadyReason[]).filter((reason) => found[reason])
}

/** The groups one by one, and their sums. */
export function countGroups(
  all: readonly Group[], registry: Registry<Group>,
): Pick<GroupsStats, 'groups' | 'inFlight' | 'queued' | 'list'> {
  const groups = { starting: 0, serving: 0, failed: 0, draining: 0, closed: 0 }
  const list = all.map((group) => describe(group, registry))
  for (const { state } of list) groups[state]++
  return {
    groups,
    inFlight: list.reduce((sum, { inFlight }) => sum + inFlight, 0),
    queued: list.reduce((sum, { queued }) => sum + queued, 0),
    list,
  }
}

function describe(group: Group, registry: Registry<Group>): GroupStats {
  const { target, members, state, failures } = group
  const { key, label, processGroup, pattern } = target
  const segment = registry.peek(key) === group ? registry.segment(key) : undefined
  const contexts = members.map(describeMember)
  const served = contexts.reduce((sum, context) => sum + context.served, 0)
  const memory = contexts.reduce((sum, context) => sum + context.memory, 0)
  const handed = countHanded(members)
  const inFlight = group.inFlight + handed.inFlight
  const queued = members.reduce((sum, member) => sum + member.handed.queued, group.queued)
  return { key, label, processGroup, pattern, state, segment, contexts, inFlight, queued, failures, handed, served, memory }
}

function describeMember({ context: { id, state, scoreboard }, inFlight, handed }: Member): GroupContextStats {
  const memory = scoreboard.read('heapUsed') + scoreboard.read('external')
  return { id, state, inFlight: inFlight + handed.inFlight, served: scoreboard.read('served'), memory, trims: scoreboard.read('trims') }
}

function countHanded(members: readonly Member[]): HandedStats {
  const sum = (count: (handed: Handed) => number): number => members.reduce((total, { handed }) => total + count(handed), 0)
  return {
    total: sum(({ given }) => given),
    connections: sum(({ open }) => open),
    inFlight: sum(({ inFlight }) => inFlight),
    served: sum(({ served }) => served),
  }
}
