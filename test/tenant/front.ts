import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { systemClock } from '../../src/clock.ts'
import { readBodyFacts } from '../../src/connection/body-facts.ts'
import { BodyDeadlines } from '../../src/connection/body-deadlines.ts'
import { HandlerDeadlines } from '../../src/http/handler-deadlines.ts'
import { closeWithConnection } from '../../src/connection/pipelined.ts'
import { Relay } from '../../src/http/relay.ts'
import { SendDeadlines } from '../../src/connection/send-deadlines.ts'
import { Sweep } from '../../src/connection/sweep.ts'
import { FrontTunnel } from '../../src/http/tunnel.ts'
import { appFile, startEntry } from '../context/start.ts'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import type { LiveContext } from '../../src/context/live-context.ts'
import type { GroupLimits } from '../../src/group/tenant.ts'
import type { Lease } from '../../src/group/lease.ts'
import type { ClientFacts } from '../../src/label/trust.ts'
import type { Overrides } from '../context/start.ts'

const UNLIMITED: GroupLimits = { handlerTimeout: 0, idleTimeout: 0, bodyLimit: 0, maxInFlight: 0, maxQueue: 0 }

export interface Front {
  readonly port: number
  readonly server: http.Server
  readonly context: LiveContext
  /** For each lease that was returned, whether it had served. */
  readonly released: boolean[]
}

export interface FrontOptions extends Overrides {
  readonly group?: Partial<GroupLimits>
}

/** The smallest front there can be: a server, one context, and a lease that is always granted. */
export async function serveEntry(t: TestContext, entry: string, options: FrontOptions = {}): Promise<Front> {
  const { group, ...overrides } = options
  const context = startEntry(t, entry, overrides)
  await context.ready
  const released: boolean[] = []
  const limits = { ...UNLIMITED, ...group }
  const lease = (): Lease => {
    let open = true
    return {
      context, label: context.spec.label, limits,
      release(served) {
        if (open) released.push(served)
        open = false
      },
      handOver: () => false,
    }
  }
  const deadlines = new HandlerDeadlines(systemClock)
  t.after(() => deadlines.close())
  const sweep = new Sweep(systemClock)
  const bodies = new BodyDeadlines({ timeout: 0, maxTimeout: 0, minRate: 0 }, sweep)
  const sends = new SendDeadlines(0, sweep)
  let requestId = 0
  const { mounts } = context.spec
  const task = (req: http.IncomingMessage): { lease: Lease; mount: number; client: ClientFacts; requestId: number } => ({
    lease: lease(),
    mount: mounts.findIndex(({ path }) => req.url === path || (req.url as string).startsWith(`${path}/`)),
    client: { clientAddress: req.socket.remoteAddress ?? '', clientPort: req.socket.remotePort, encrypted: false },
    requestId: ++requestId,
  })
  const relay = (expectsContinue: boolean) => (req: http.IncomingMessage, res: http.ServerResponse) => {
    closeWithConnection(req, res)
    new Relay(req, res, readBodyFacts(req.rawHeaders), { ...task(req), expectsContinue, deadlines, bodies, sends })
  }
  const server = http.createServer(relay(false))
  server.on('checkContinue', relay(true))
  server.on('checkExpectation', relay(false))
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', () => {})
    new FrontTunnel(req, socket, head, { ...task(req), sends })
  })
  return { port: await listen(t, server), server, context, released }
}

export function serveSource(t: TestContext, source: string, options: FrontOptions = {}): Promise<Front> {
  return serveEntry(t, appFile(t, source, options.name), options)
}

export async function listen(t: Pick<TestContext, 'after'>, server: http.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

export interface Client {
  readonly socket: net.Socket
  /** Everything so far, one character a byte. */
  text(): string
  /** Resolves with everything once it contains `part`, rejects when the connection closes without. */
  until(part: string): Promise<string>
  /** Resolves with everything when the connection has closed. */
  readonly closed: Promise<string>
}

export async function connect(t: Pick<TestContext, 'after'>, port: number): Promise<Client> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => socket.destroy())
  let text = ''
  const waiting = new Set<() => void>()
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    for (const check of waiting) check()
  })
  socket.on('error', () => {})
  const closed = new Promise<string>((resolve) => {
    // What the server closed, we close: these are whole exchanges, not half-open ones.
    socket.once('end', () => socket.end())
    socket.once('close', () => resolve(text))
  })
  await once(socket, 'connect')
  return {
    socket,
    closed,
    text: () => text,
    until: (part) => new Promise((resolve, reject) => {
      const check = (): void => {
        if (!text.includes(part)) return
        waiting.delete(check)
        resolve(text)
      }
      waiting.add(check)
      void closed.then(() => reject(new Error(`closed before ${JSON.stringify(part)} came: ${JSON.stringify(text)}`)))
      check()
    }),
  }
}

/** One exchange: sends the text as it is, and gathers what comes until the server closes. */
export async function exchange(t: Pick<TestContext, 'after'>, port: number, text: string): Promise<string> {
  const client = await connect(t, port)
  client.socket.write(text, 'latin1')
  return withoutDate(await client.closed)
}

export function get(path: string, headers = '', method = 'GET'): string {
  return `${method} ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}Connection: close\r\n\r\n`
}

export function post(path: string, body: string, headers = ''): string {
  return `POST ${path} HTTP/1.1\r\nHost: a.test\r\n${headers}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
}

export function withoutDate(text: string): string {
  return text.replace(/^Date: .*\r\n/gm, 'Date: now\r\n')
}

/** The part after the head. */
export function bodyOf(text: string): string {
  return text.slice(text.indexOf('\r\n\r\n') + 4)
}

/** Answers in which every chunked body is one chunk: how a large one is cut is nobody's promise. Breaks off where they do. */
export function merged(text: string): string {
  let out = ''
  let at = 0
  while (at < text.length) {
    const end = text.indexOf('\r\n\r\n', at)
    if (end === -1) return out + text.slice(at)
    const head = text.slice(at, end + 4)
    out += head
    at = end + 4
    const length = /^content-length: (\d+)\r$/im.exec(head)
    if (/^transfer-encoding: chunked\r$/im.test(head)) {
      for (;;) {
        const line = text.indexOf('\r\n', at)
        const size = line === -1 ? Number.NaN : Number.parseInt(text.slice(at, line), 16)
        if (!(size > 0)) {
          const last = text.indexOf('\r\n\r\n', at)
          const stop = last === -1 ? text.length : last + 4
          out += `[${text.slice(at, stop)}]`
          at = stop
          break
        }
        out += text.slice(line + 2, line + 2 + size)
        at = line + 2 + size + 2
      }
    } else if (length !== null) {
      out += text.slice(at, at + Number(length[1]))
      at += Number(length[1])
    }
  }
  return out
}
