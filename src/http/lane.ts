import { LRUCache } from 'lru-cache'
import { dispatchTracing, requestFinish, requestStart } from '../events.ts'
import { ConnectionBound } from './connection-bound.ts'
import { readBegunHead, readFirstBytes } from './first-bytes.ts'
import { clientOf, factsOf } from './head-facts.ts'
import { demandHandoff, isProxy, obstacleIn, reasonOf, RELAY_REASONS } from './lane-choice.ts'
import type net from 'node:net'
import type { Sweep } from '../connection/sweep.ts'
import type { Groups } from '../group/groups.ts'
import type { GroupTarget, Lease } from '../group/lease.ts'
import type { Waiting } from '../group/wait-queue.ts'
import type { DispatchSettings } from './dispatch.ts'
import type { PeerSocket } from './connections.ts'
import type { FirstHead } from './first-bytes.ts'
import type { LaneOptions, LaneStats, RelayReason } from './lane-choice.ts'
import type { Opening, ReadOpening } from './opening.ts'
import type { Route } from './resolve.ts'

/** Peers that are remembered to be proxies. */
const MAX_PEERS = 1000

export interface LaneSettings extends Pick<DispatchSettings, 'trust' | 'resolver' | 'accepts'> {
  readonly groups: Pick<Groups, 'acquire' | 'warm'>
  /** What is in effect now. */
  readonly options: () => LaneOptions
  /** Whether this process can give a descriptor away; asked once, when the first server is to listen. */
  readonly hasDescriptors: () => boolean
  /** Of all servers together; 0 is off. */
  readonly maxConnections: number
  /** Connections that were handed over and are open. */
  readonly countHanded: () => number
  /** How long a connection may send nothing, in milliseconds; 0 is off. */
  readonly headerTimeout: number
  readonly sweep: Sweep
}

/** What decides which lane a connection takes, for all servers of a runtime; and how many took which. */
export class Lanes {
  readonly settings: LaneSettings
  readonly connections: ConnectionBound
  /** Peers that asked for another host on a connection that had been handed over. */
  readonly #misdirected = new LRUCache<string, true>({ max: MAX_PEERS })
  readonly #relayed: Partial<Record<RelayReason, number>> = {}
  #handedOver = 0
  #hasDescriptors: boolean | undefined

  constructor(settings: LaneSettings) {
    this.settings = settings
    this.connections = new ConnectionBound(settings.maxConnections, settings.countHanded)
  }

  /** A server is to listen. Throws ERR_OPTION_INVALID where the hand-off is demanded and cannot be. */
  open(): void {
    const options = this.settings.options()
    // Without a server nothing needs them, and looking for them costs memory.
    if (options.lane !== 'relay') this.#hasDescriptors ??= this.settings.hasDescriptors()
    demandHandoff(options, this.obstacle)
  }

  /** Why no connection at all can be handed over now; undefined where some can. */
  get obstacle(): RelayReason | undefined {
    return obstacleIn(this.settings.options(), this.#hasDescriptors !== false)
  }

  /** The peer is a proxy: its connections stay in the front from now on. */
  keep(peer: string): void {
    this.#misdirected.set(peer, true)
  }

  stats(): LaneStats {
    const { obstacle } = this
    return {
      handoff: this.#handedOver,
      relay: { ...this.#relayed },
      obstacle: obstacle === undefined ? null : RELAY_REASONS[obstacle],
    }
  }

  countHandOver(): void {
    this.#handedOver++
  }

  /** One that was handed over is the front's again. */
  countReturned(): void {
    this.#handedOver--
  }

  countRelayed(reason: RelayReason): void {
    this.#relayed[reason] = (this.#relayed[reason] ?? 0) + 1
  }

  /** Why a connection stays in the front, whatever it will say. */
  obstacleTo({ remoteAddress: clientAddress = '', remotePort: clientPort }: net.Socket): RelayReason | undefined {
    const { settings, obstacle } = this
    if (obstacle !== undefined) return obstacle
    if (!settings.accepts()) return 'refused'
    if (requestStart.watched || requestFinish.watched || dispatchTracing.hasSubscribers) return 'events'
    if (isProxy({ clientAddress, clientPort, encrypted: false }, settings.trust)) return 'proxy'
    return this.#misdirected.has(clientAddress) ? 'misdirected' : undefined
  }

  /** Where a client that speaks plainly is going. */
  readonly readHead: ReadOpening = (socket, bytes) => {
    const head = readFirstBytes(bytes)
    if (head === undefined) {
      const begun = readBegunHead(bytes)
      if (begun !== undefined) void this.warm(socket, begun)
      return 'head'
    }
    const chosen = this.choose(socket, head)
    const open = (target: GroupTarget | RelayReason): Opening => typeof target === 'string' ? target : { target, hosts: [head.host] }
    return chosen instanceof Promise ? chosen.then(open) : open(chosen)
  }

  /** The group of all requests of the connection, by the resolver that resolves requests; or why there is none. */
  choose(socket: PeerSocket, head: FirstHead): GroupTarget | RelayReason | Promise<GroupTarget | RelayReason> {
    const { method, url, rawHeaders, host } = head
    const source = { method, url, rawHeaders, headers: { host }, httpVersionMajor: 1, httpVersionMinor: 1, socket }
    const client = clientOf(source, this.settings.trust)
    const route = this.settings.resolver().resolve(factsOf(source, client), client)
    const choice = (found: Route): GroupTarget | RelayReason => reasonOf(found, rawHeaders) ?? found.target
    return route instanceof Promise ? route.then(choice) : choice(route)
  }

  /**
   * A request is coming, and takes its time: its group's start, if it needs one, goes on meanwhile. Less than what the
   * request itself may do, and whatever is wrong, that hears it. Never rejects.
   */
  async warm(socket: PeerSocket, head: FirstHead): Promise<void> {
    try {
      const target = await this.choose(socket, head)
      if (typeof target !== 'string') this.settings.groups.warm(target)
    } catch {
      // 421, 404 and the like.
    }
  }

  acquire(target: GroupTarget, who: Waiting): Lease | Promise<Lease> {
    return this.settings.groups.acquire(target, who)
  }
}
