import { asTenantryError, TenantryError } from '../errors.ts'
import type http from 'node:http'
import type { Lease } from '../group/lease.ts'
import type { CancelWait } from '../group/wait-queue.ts'
import type { ClientFacts } from '../label/trust.ts'

/** What a client waits on, and what tells that it left: a response, or an upgraded socket. */
export interface Outlet {
  readonly destroyed: boolean
  once(event: 'close', listener: () => void): unknown
}

/**
 * A request between its head and its lease. Exactly one of `enter` and `refuse`
 * runs, unless the client leaves first.
 */
export abstract class Passage {
  readonly req: http.IncomingMessage
  client: ClientFacts | undefined
  mount = 0
  readonly #outlet: Outlet

  constructor(req: http.IncomingMessage, outlet: Outlet) {
    this.req = req
    this.#outlet = outlet
  }

  /** Has its lease: hands it on, or gives it back. */
  begin(lease: Lease): void {
    try {
      if (this.#outlet.destroyed) throw clientGone()
      this.enter(lease, this.mount, this.client as ClientFacts)
    } catch (error) {
      lease.release(false)
      throw error
    }
  }

  /** Waits for its lease: a client that leaves gives its place up. */
  readonly onWait = (cancel: CancelWait): void => {
    this.#outlet.once('close', () => cancel(clientGone()))
  }

  refuseAny(thrown: unknown): void {
    if (this.#outlet.destroyed) return
    this.refuse(asTenantryError(thrown, 'ERR_START_FAILED', 'The request could not be served'))
  }

  /** Goes on with a lease, which it releases from now on; throws a TenantryError to be refused instead. */
  protected abstract enter(lease: Lease, mount: number, client: ClientFacts): void

  protected abstract refuse(error: TenantryError): void
}

function clientGone(): TenantryError {
  return new TenantryError('ERR_CLIENT_GONE', 'The client left before its application group was ready')
}
