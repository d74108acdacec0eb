import http2 from 'node:http2'
import { pino } from 'pino'
import { createRuntime } from '../../src/runtime.ts'
import type { AddressInfo } from 'node:net'

/** The runtime behind HTTP/2 without TLS, and behind HTTP/1 for the neighbours; says where as the command does. */
const logger = pino()
const runtime = createRuntime({ tenants: process.argv[2] as string, logger })
// As docs/security.md advises: Node's own default allows four billion streams at once.
const settings = { settings: { enableConnectProtocol: true, maxConcurrentStreams: 100 } }
const second = http2.createServer(settings, (req, res) => runtime.handler(req as never, res as never))
second.on('connect', (req, res) => runtime.upgrade(req as never, res as never, Buffer.alloc(0)))
second.listen(0, '127.0.0.1', () => {
  void runtime.listen().then((first) => {
    const [port, http2Port] = [first, second].map((server) => (server.address() as AddressInfo).port)
    logger.info({ url: `http://127.0.0.1:${port}`, http2: http2Port }, 'listening')
  })
})
