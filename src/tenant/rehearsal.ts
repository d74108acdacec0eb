import { TenantChannel } from '../wire/tenant-channel.ts'
import { Kind } from '../wire/frames.ts'
import { PieceMemory } from '../wire/piece-memory.ts'
import { fromExports } from './application.ts'
import { ClientConnection } from './connection.ts'
import { Exchange } from './exchange.ts'
import { Lifecycle } from './lifecycle.ts'
import type http from 'node:http'
import type { Carrier } from '../wire/carrier.ts'
import type { ConnectionFacts } from '../wire/frames.ts'

/** Where answers go that nobody waits for. */
const nowhere: Carrier = { movesMemory: false, memory: new PieceMemory(), post() {}, close() {} }

const nobody: ConnectionFacts = {
  remoteAddress: '127.0.0.1', remotePort: 1, remoteFamily: 'IPv4', localAddress: '127.0.0.1', localPort: 1,
  encrypted: false, servername: undefined, alpnProtocol: undefined, tlsProtocol: undefined,
  keepAliveTimeout: 5000, maxRequestsPerSocket: 0,
}

/** There is time in a spare: what a tenant's first request would wait for is done now. What fails here is heard when it is needed. */
export async function prepare(handsOver: boolean): Promise<void> {
  await rehearse()
  if (handsOver) await import('./handed-server.ts')
}

/**
 * A request of our own for an application of our own: V8 has compiled then what the
 * first request of a client needs: 4.7 ms more than the second one instead of 7.8 (benchmarks/cases/cold-start).
 */
export async function rehearse(carrier: Carrier = nowhere): Promise<void> {
  const answer = (_: http.IncomingMessage, res: http.ServerResponse): void => void res.end('ok')
  const application = await fromExports({ default: answer }, 'node', new Lifecycle())
  if (application === undefined) return
  const connection = new ClientConnection(nobody, () => {})
  const channel = new TenantChannel(carrier, {
    onLoad() {},
    onConnection() {},
    onDisconnect() {},
    onDrain() {},
    onRequest(head, stream) {
      const exchange = new Exchange(head, stream, connection, { started() {}, ended() {} })
      application.handle(exchange.req, exchange.res, connection, false)
      exchange.begin(head)
    },
  })
  const rawHeaders = ['Host', 'localhost', 'Connection', 'keep-alive']
  channel.receive([Kind.CONNECTION, 1, nobody, Kind.OPEN, 1, true, 1, 'GET', '/', rawHeaders, 0, 0])
}
