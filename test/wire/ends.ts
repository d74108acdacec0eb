import { MessageChannel } from 'node:worker_threads'
import { PortCarrier } from '../../src/wire/carrier.ts'
import { FRAME_LENGTH } from '../../src/wire/frames.ts'
import { FrontChannel } from '../../src/wire/front-channel.ts'
import { TenantChannel } from '../../src/wire/tenant-channel.ts'
import type { HandedRefusal } from '../../src/wire/held.ts'
import type { MessagePort } from 'node:worker_threads'
import type { TestContext } from 'node:test'
import type { TenantryError } from '../../src/errors.ts'
import type { ErrorRecord, Piece, ResetCode } from '../../src/wire/frames.ts'
import type { ContextListener, OpenHead } from '../../src/wire/front-channel.ts'
import type { StreamListener } from '../../src/wire/front-stream.ts'
import type { FrontListener, RequestHead, RequestListener, TenantStream } from '../../src/wire/tenant-channel.ts'

/** One turn of the loop at a time until it is so; a wait that is in vain says what it waited for. */
export async function until(condition: () => boolean, atMost = 15_000): Promise<void> {
  for (const end = performance.now() + atMost; !condition(); await turn()) {
    if (performance.now() > end) throw new Error(`waited ${atMost} ms in vain for ${String(condition)}`)
  }
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** What one side heard, in order, as `['name', …arguments]`. */
export type Heard = unknown[][]

export class RecordingStream implements StreamListener {
  readonly heard: Heard = []
  onHead(text: string, piece: Piece | undefined, end: boolean): void { this.heard.push(['head', text, piece, end]) }
  onData(piece: Piece, end: boolean): void { this.heard.push(['data', piece, end]) }
  onEnd(trailers: string | undefined): void { this.heard.push(['end', trailers]) }
  onInfo(text: string): void { this.heard.push(['info', text]) }
  onWritable(): void { this.heard.push(['writable']) }
  onReset(code: ResetCode): void { this.heard.push(['reset', code]) }
  onFailure(error: TenantryError): void { this.heard.push(['failure', error.code]) }
}

export class RecordingRequest implements RequestListener {
  readonly heard: Heard = []
  onData(piece: Piece): void { this.heard.push(['data', piece]) }
  onEnd(rawTrailers: readonly string[] | undefined): void { this.heard.push(['end', rawTrailers]) }
  onReset(code: ResetCode): void { this.heard.push(['reset', code]) }
  onDrain(): void { this.heard.push(['drain']) }
}

export class RecordingContext implements ContextListener {
  readonly heard: Heard = []
  onHello(): void { this.heard.push(['hello']) }
  onReady(kinds: readonly string[]): void { this.heard.push(['ready', kinds]) }
  onFailed(error: ErrorRecord): void { this.heard.push(['failed', error]) }
  onRefused(refusal: HandedRefusal): void { this.heard.push(['refused', refusal]) }
  onViolation(what: string): void { this.heard.push(['violation', what]) }
}

export class RecordingFront implements FrontListener {
  readonly heard: Heard = []
  readonly requests: { readonly head: RequestHead; readonly stream: TenantStream; readonly listener: RecordingRequest }[] = []
  onLoad(request: unknown): void { this.heard.push(['load', request]) }
  onConnection(connection: number, facts: unknown): void { this.heard.push(['connection', connection, facts]) }
  onDisconnect(connection: number): void { this.heard.push(['disconnect', connection]) }
  onDrain(): void { this.heard.push(['drain']) }
  onRequest(head: RequestHead, stream: TenantStream): void {
    const listener = new RecordingRequest()
    stream.listener = listener
    this.requests.push({ head, stream, listener })
  }
}

export interface Ends {
  readonly front: FrontChannel
  readonly tenant: TenantChannel
  readonly context: RecordingContext
  readonly world: RecordingFront
  /** Every message as it arrived, before anything read it. */
  readonly toFront: unknown[]
  readonly toTenant: unknown[]
  /** The context's own port: what a hostile context would write to. */
  readonly port: MessagePort
}

/** A message's frames, each as an array of its own. */
export function framesOf(message: unknown): unknown[][] {
  const batch = message as unknown[]
  const frames: unknown[][] = []
  for (let at = 0; at < batch.length; at += frames.at(-1)?.length as number) {
    frames.push(batch.slice(at, at + (FRAME_LENGTH[batch[at] as number] as number)))
  }
  return frames
}

/** Both ends of a relay in one thread, over a real MessageChannel. */
export function connectEnds(t: TestContext, { bufferLimit = Infinity } = {}): Ends {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const toFront: unknown[] = []
  const toTenant: unknown[] = []
  const context = new RecordingContext()
  const world = new RecordingFront()
  const front: FrontChannel = new FrontChannel(new PortCarrier(port1, (batch) => {
    toFront.push(batch)
    front.receive(batch)
  }, () => {}), context, bufferLimit)
  const tenant: TenantChannel = new TenantChannel(new PortCarrier(port2, (batch) => {
    toTenant.push(batch)
    tenant.receive(batch)
  }, () => {}), world)
  return { front, tenant, context, world, toFront, toTenant, port: port2 }
}

export function openHead(overrides: Partial<OpenHead> = {}): OpenHead {
  return { connection: 1, method: 'GET', url: '/', rawHeaders: ['Host', 'a.test'], flags: 3, mount: 0, end: true, ...overrides }
}
