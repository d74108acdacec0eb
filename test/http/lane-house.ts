import http from 'node:http'
import { fileURLToPath } from 'node:url'
import { LaneServer } from '../../src/http/lane-server.ts'
import { Lanes } from '../../src/http/lane.ts'
import { takeEarlyRefusal } from '../../src/http/early-refusal.ts'
import { Sweep } from '../../src/connection/sweep.ts'
import { createTrust } from '../../src/label/trust.ts'
import { resolveOptions } from '../../src/options.ts'
import { openDirectory, openResolver } from '../../src/resolving.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import { listen } from '../tenant/front.ts'
import type { TestContext } from 'node:test'
import type { Context, OfferedConnection } from '../../src/context/context.ts'
import type { GroupTarget, Lease } from '../../src/group/lease.ts'
import type { CancelWait, Waiting } from '../../src/group/wait-queue.ts'
import type { LaneSettings } from '../../src/http/lane.ts'
import type { RuntimeOptions } from '../../src/options.ts'

const HEADER_TIMEOUT = 5000

/** A file that is there; nobody loads it. */
export const ENTRY = fileURLToPath(import.meta.url)

/** Groups whose contexts are the test: it grants leases and takes connections. */
export class FakeGroups {
  /** Called for each lease that is asked for. */
  onAcquire: (target: GroupTarget) => Lease | Promise<Lease> = () => this.lease()
  /** Whether the context takes what is offered. */
  takes = true
  readonly offered: OfferedConnection[] = []
  readonly released: boolean[] = []
  /** Of the latest one that waits. */
  cancel: CancelWait | undefined

  acquire(target: GroupTarget, who?: Waiting): Lease | Promise<Lease> {
    const lease = this.onAcquire(target)
    if (lease instanceof Promise) who?.onWait((reason) => { this.cancel?.(reason) })
    return lease
  }

  /** Groups that were to start on evidence. */
  readonly warmed: string[] = []

  warm({ pattern }: GroupTarget): boolean {
    this.warmed.push(pattern)
    return false
  }

  lease(): Lease {
    const context = { id: 1, spec: { processGroup: '' } } as unknown as Context
    return {
      context, label: 'a', limits: { handlerTimeout: 0, idleTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 0 },
      release: (served) => void this.released.push(served),
      handOver: (connection) => {
        if (!this.takes) return false
        this.offered.push(connection)
        // As a context does that answers at once; the connection itself stays here, since this is no other thread.
        connection.socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\nhand-of')
        return true
      },
    }
  }
}

/** A lease that a test grants or refuses later. */
export function deferred(): { promise: Promise<Lease>; resolve: (lease: Lease) => void; reject: (error: Error) => void } {
  let settle: { resolve: (lease: Lease) => void; reject: (error: Error) => void } | undefined
  const promise = new Promise<Lease>((resolve, reject) => { settle = { resolve, reject } })
  return { promise, ...(settle as NonNullable<typeof settle>) }
}

export interface LaneHouse {
  readonly port: number
  readonly server: http.Server
  readonly lanes: Lanes
  readonly groups: FakeGroups
  readonly clock: FakeClock
  /** What the ordinary server was asked: its method, target and body, or the refusal. */
  readonly relayed: string[]
}

/** A server whose connections choose their lanes, with groups that are the test, and a handler that notes what it gets. */
export async function openLanes(
  t: TestContext, options: Partial<RuntimeOptions> = {}, settings: Partial<LaneSettings> = {},
): Promise<LaneHouse> {
  const resolved = resolveOptions({ tenants: { 'a.test': ENTRY }, logger: false, lane: 'auto', ...options })
  const directory = openDirectory(resolved)
  const resolver = openResolver(directory, resolved)
  const groups = new FakeGroups()
  const clock = new FakeClock()
  const lanes = new Lanes({
    groups,
    trust: createTrust(resolved.trustProxy),
    resolver: () => resolver,
    accepts: () => true,
    options: () => resolved,
    hasDescriptors: () => true,
    maxConnections: 0,
    countHanded: () => 0,
    headerTimeout: HEADER_TIMEOUT,
    sweep: new Sweep(clock),
    ...settings,
  })
  const relayed: string[] = []
  const server = http.createServer({ requireHostHeader: false }, (req, res) => {
    const refusal = takeEarlyRefusal(req.socket)
    let body = ''
    req.setEncoding('latin1').on('data', (part: string) => { body += part })
    req.on('end', () => {
      relayed.push(refusal === undefined ? `${req.method} ${req.url} ${body}`.trim() : refusal.code)
      res.end('relayed')
    })
  })
  lanes.open()
  new LaneServer(server, lanes, lanes.readHead)
  const port = await listen(t, server)
  return { port, server, lanes, groups, clock, relayed }
}
