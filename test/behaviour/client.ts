import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  /** False when the connection broke off before the end of the answer. */
  readonly complete: boolean
}

export interface Ask {
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string | Uint8Array
  /** Default: a connection of its own. */
  readonly agent?: http.Agent
}

/** No test waits longer for one answer. */
const PATIENCE = 15_000

/** One request for `host`, whatever comes back; rejects only when there is no head at all. */
export function ask(port: number, host: string, path = '/', { method, headers, body, agent }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method: method ?? 'GET', agent: agent ?? false, headers: { host, ...headers } }
    const outgoing = http.request(options, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (part: string) => { text += part })
      incoming.on('error', () => {})
      incoming.on('close', () => {
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, complete: incoming.complete })
      })
    })
    outgoing.on('error', reject)
    outgoing.setTimeout(PATIENCE, () => outgoing.destroy(new Error(`no answer from ${host}${path} within ${PATIENCE} ms`)))
    outgoing.end(body)
  })
}

export async function askJson(port: number, host: string, path = '/', options: Ask = {}): Promise<Record<string, unknown>> {
  const answer = await ask(port, host, path, options)
  if (answer.status !== 200) throw new Error(`${host}${path} answered ${answer.status}: ${answer.text}`)
  return JSON.parse(answer.text) as Record<string, unknown>
}

/** A connection for bytes as they are. */
export class Wire {
  readonly socket: net.Socket
  readonly closed: Promise<unknown>
  #text = ''

  constructor(socket: net.Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', resolve))
    // A reset is one of the ways in which a test's connection ends.
    socket.on('error', () => {})
    socket.setEncoding('latin1').on('data', (part: string) => { this.#text += part })
  }

  static async open(t: TestContext, port: number): Promise<Wire> {
    // It never closes by itself: what the server closes is then the server's doing.
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    return new Wire(socket)
  }

  /** Everything that came so far. */
  get text(): string {
    return this.#text
  }

  send(text: string | Uint8Array): void {
    this.socket.write(text)
  }

  /** Resolves as soon as what came contains `part`; rejects when the connection closes or patience ends first. */
  async until(part: string | RegExp): Promise<string> {
    const deadline = Date.now() + PATIENCE
    const has = (): boolean => (typeof part === 'string' ? this.#text.includes(part) : part.test(this.#text))
    while (!has()) {
      if (this.ended || Date.now() > deadline) throw new Error(`never got ${String(part)}, but:\n${this.#text}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return this.#text
  }

  /** Everything until the other side closed, cleanly or not. */
  async rest(): Promise<string> {
    if (!this.ended) await Promise.race([new Promise((resolve) => this.socket.once('end', resolve)), this.closed])
    return this.#text
  }

  /** The other side has closed. */
  get ended(): boolean {
    return this.socket.readableEnded || this.socket.closed
  }
}

/** Sends `text` and returns all that comes until the server closes the connection. */
export async function exchange(t: TestContext, port: number, text: string): Promise<string> {
  const wire = await Wire.open(t, port)
  wire.send(text)
  return await wire.rest()
}

/** Waits for a condition that events make true soon. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, patience = 10_000): Promise<void> {
  const deadline = Date.now() + patience
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${patience} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
