import tls from 'node:tls'
import { publish } from '../events.ts'
import { Arrival } from './arrival.ts'
import type http from 'node:http'
import type net from 'node:net'
import type { GroupTarget, Lease } from '../group/lease.ts'
import type { Waiting } from '../group/wait-queue.ts'
import type { ArrivalHost } from './arrival.ts'
import type { Lanes } from './lane.ts'
import type { RelayReason } from './lane-choice.ts'
import type { ReadOpening } from './opening.ts'

const REQUEST_EVENTS = ['request', 'upgrade', 'connect', 'checkContinue', 'checkExpectation', 'clientError'] as const

/**
 * A server that Tenantry owns, whose connections choose their lanes: one whose
 * first request says where all of them lead is handed over to its context, every
 * other one goes to the listeners that the server had, as if they had accepted it.
 */
export class LaneServer implements ArrivalHost {
  readonly read: ReadOpening
  readonly #server: http.Server
  readonly #lanes: Lanes
  readonly #isSecure: boolean
  readonly #ordinary: readonly ((socket: net.Socket) => void)[]
  readonly #asMade: readonly unknown[]
  /** Connections that have no lane yet: node:http does not know them. */
  readonly #arrivals = new Set<Arrival>()
  /** Connections whose contexts died before they opened them. */
  readonly #returned = new WeakSet<net.Socket>()

  /** After everything that is to listen to the server's own connections. */
  constructor(server: http.Server, lanes: Lanes, read: ReadOpening) {
    this.read = read
    this.#server = server
    this.#lanes = lanes
    this.#isSecure = server instanceof tls.Server
    this.#ordinary = server.listeners('connection') as ((socket: net.Socket) => void)[]
    this.#asMade = settingsOf(server)
    server.removeAllListeners('connection')
    server.on('connection', (socket) => this.#accept(socket))
    const closeIdle = server.closeIdleConnections.bind(server)
    server.closeIdleConnections = () => {
      for (const arrival of this.#arrivals) if (arrival.isSilent) arrival.close()
      closeIdle()
    }
    const closeAll = server.closeAllConnections.bind(server)
    server.closeAllConnections = () => {
      for (const arrival of this.#arrivals) arrival.close()
      closeAll()
    }
  }

  acquire(target: GroupTarget, who: Waiting): Lease | Promise<Lease> {
    return this.#lanes.acquire(target, who)
  }

  onSpoken(arrival: Arrival): void {
    this.#lanes.settings.sweep.delete(arrival)
  }

  onOver(arrival: Arrival): void {
    this.#arrivals.delete(arrival)
    this.#lanes.settings.sweep.delete(arrival)
  }

  onHandedOver({ context, label }: Lease, socket: net.Socket): void {
    // Before its close is heard: another one may be accepted first.
    socket.off('close', this.#onClose)
    this.#lanes.connections.handOver()
    this.#lanes.countHandOver()
    publish('tenantry:connection:handoff', { label, processGroup: context.spec.processGroup, contextId: context.id })
  }

  /** It is served here, over the relay: where the next context dies as well, that answers. Never handed over again. */
  readonly onReturned = (socket: net.Socket): void => {
    this.#lanes.countReturned()
    this.#returned.add(socket)
    if (this.#server.listening && !socket.destroyed) this.#server.emit('connection', socket)
    else socket.destroy()
  }

  onStay(socket: net.Socket, reason: RelayReason): void {
    this.#lanes.countRelayed(reason)
    for (const listener of this.#ordinary) listener.call(this.#server, socket)
    // TLS reads by itself: flowing, the bytes would go to nobody.
    if (!this.#isSecure) socket.resume()
  }

  #accept(socket: net.Socket): void {
    const { connections } = this.#lanes
    if (!connections.enter()) {
      // A reset while it closes must not end the process.
      socket.on('error', () => {})
      socket.destroy()
      publishDrop(connections.max)
      return
    }
    socket.once('close', this.#onClose)
    const reason = this.#returned.has(socket) ? 'context' : this.#obstacleTo(socket)
    if (reason !== undefined) {
      this.onStay(socket, reason)
      return
    }
    const { headerTimeout, sweep } = this.#lanes.settings
    const arrival = new Arrival(socket, this, sweep.clock.now() + headerTimeout)
    this.#arrivals.add(arrival)
    if (headerTimeout > 0) sweep.add(arrival)
  }

  readonly #onClose = (): void => {
    this.#lanes.connections.leave()
  }

  #obstacleTo(socket: net.Socket): RelayReason | undefined {
    return this.#lanes.obstacleTo(socket) ?? (this.#wasChanged() ? 'server' : undefined)
  }

  /** Somebody has given the server settings or listeners of his own, of which a context would know nothing. */
  #wasChanged(): boolean {
    return settingsOf(this.#server).some((value, at) => value !== this.#asMade[at])
  }
}

/** A connection was closed without a byte. */
export function publishDrop(maxConnections: number): void {
  const message = `A connection was closed at once: there are maxConnections (${maxConnections}) already`
  publish('tenantry:admission:refuse', { host: '', code: 'ERR_CONNECTION_LIMIT', message })
}

function settingsOf(server: http.Server): readonly unknown[] {
  const { timeout, keepAliveTimeout, maxRequestsPerSocket, maxHeadersCount } = server
  return [timeout, keepAliveTimeout, maxRequestsPerSocket, maxHeadersCount, ...REQUEST_EVENTS.map((name) => server.listenerCount(name))]
}
