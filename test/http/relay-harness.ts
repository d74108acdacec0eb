import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import { MessageChannel } from 'node:worker_threads'
import { readBodyFacts } from '../../src/connection/body-facts.ts'
import { BodyDeadlines } from '../../src/connection/body-deadlines.ts'
import { HandlerDeadlines } from '../../src/http/handler-deadlines.ts'
import { SendDeadlines } from '../../src/connection/send-deadlines.ts'
import { Sweep } from '../../src/connection/sweep.ts'
import { Relay } from '../../src/http/relay.ts'
import { PortCarrier } from '../../src/wire/carrier.ts'
import { FrontChannel } from '../../src/wire/front-channel.ts'
import { TenantChannel } from '../../src/wire/tenant-channel.ts'
import { FakeClock } from '../ops/fake-clock.ts'
import { listen } from '../tenant/front.ts'
import { RecordingContext, RecordingFront } from '../wire/ends.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { Context } from '../../src/context/context.ts'
import type { EndReason } from '../../src/events.ts'
import type { TenantryError } from '../../src/errors.ts'
import type { GroupLimits } from '../../src/group/tenant.ts'

export interface Harness {
  readonly port: number
  /** The same behind HTTP/2 without TLS. */
  readonly http2Port: number
  /** Its own, so that its events can be told apart. */
  readonly label: string
  readonly clock: FakeClock
  readonly front: FrontChannel
  /** What the application's side hears; the test plays the application. */
  readonly world: RecordingFront
  readonly tenant: TenantChannel
  readonly released: boolean[]
  readonly terminated: { readonly reason: EndReason; readonly error: TenantryError | undefined }[]
}

const LIMITS: GroupLimits = { handlerTimeout: 0, idleTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 0 }

let labels = 0

/** A relay with both of its ends in this thread: a real client, a real server, and a test for an application. */
export async function startRelay(
  t: TestContext,
  limits: Partial<GroupLimits> = {},
  before: http.RequestListener = () => {},
): Promise<Harness> {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const world = new RecordingFront()
  const front: FrontChannel = new FrontChannel(new PortCarrier(port1, (batch) => front.receive(batch), () => {}), new RecordingContext())
  const tenant: TenantChannel = new TenantChannel(new PortCarrier(port2, (batch) => tenant.receive(batch), () => {}), world)
  const terminated: Harness['terminated'] = []
  const context = {
    id: 1,
    channel: front,
    spec: { limits: { bufferLimit: 0 } },
    terminate(reason: EndReason, error?: TenantryError) {
      terminated.push({ reason, error })
      if (error !== undefined) front.close(error)
      return Promise.resolve()
    },
  } as unknown as Context
  const label = `relay-${++labels}.test`
  const released: boolean[] = []
  const clock = new FakeClock()
  const deadlines = new HandlerDeadlines(clock)
  const sweep = new Sweep(clock)
  const bodies = new BodyDeadlines({ timeout: 15_000, maxTimeout: 0, minRate: 500 }, sweep)
  const sends = new SendDeadlines(60_000, sweep)
  const onRequest = (req: http.IncomingMessage, res: http.ServerResponse): void => {
    before(req, res)
    let open = true
    const release = (served: boolean): void => {
      if (open) released.push(served)
      open = false
    }
    new Relay(req, res, readBodyFacts(req.rawHeaders), {
      lease: { context, label, limits: { ...LIMITS, ...limits }, release, handOver: () => false },
      mount: 0,
      client: { clientAddress: '192.0.2.9', clientPort: 99, encrypted: false },
      requestId: 1,
      expectsContinue: false,
      deadlines,
      bodies,
      sends,
    })
  }
  const port = await listen(t, http.createServer(onRequest))
  const second = http2.createServer(onRequest as unknown as Parameters<typeof http2.createServer>[0])
  second.listen(0, '127.0.0.1')
  await once(second, 'listening')
  t.after(() => second.close())
  const { port: http2Port } = second.address() as AddressInfo
  return { port, http2Port, label, clock, front, world, tenant, released, terminated }
}
