import diagnostics from 'node:diagnostics_channel'

/**
 * Every diagnostics channel and its payload. Publishers guard with
 * `hasSubscribers`, so that an event nobody listens to costs one property read.
 * Text that came from a client is cut to MAX_TEXT characters first.
 */
export interface EventPayloads {
  'tenantry:group:state': { label: string; processGroup: string; from: string; to: string; reason?: string | undefined }
  'tenantry:context:start': { label: string; processGroup: string; contextId: number }
  'tenantry:context:ready': { label: string; processGroup: string; contextId: number; milliseconds: number }
  'tenantry:context:exit': {
    label: string
    processGroup: string
    contextId: number
    reason: EndReason
    exitCode: number | null
    error?: Error | undefined
  }
  /** One line of a tenant's stdout or stderr, already cut to a bounded length. */
  'tenantry:context:output': { label: string; processGroup: string; contextId: number; stream: 'stdout' | 'stderr'; line: string }
  /** A context that waits for a tenant: starting, spare, taken or exited; `milliseconds` since it was begun. */
  'tenantry:spare:state': {
    processGroup: string
    from: string
    to: string
    milliseconds: number
    reason?: EndReason | undefined
    error?: Error | undefined
  }
  /** A daemon of a process group: starting, serving, ending, exited; with its exit code or signal at the end. */
  'tenantry:daemon:state': {
    processGroup: string
    pid: number | undefined
    from: string
    to: string
    reason?: EndReason | undefined
    exitCode?: number | null | undefined
    signal?: string | null | undefined
    error?: Error | undefined
  }
  /** A line that the daemon itself wrote, and no context of it. */
  'tenantry:daemon:output': { processGroup: string; pid: number | undefined; stream: 'stdout' | 'stderr'; line: string }
  /** A client's connection moved into a context, which serves all that comes on it: no event of a request follows. */
  'tenantry:connection:handoff': { label: string; processGroup: string; contextId: number }
  'tenantry:admission:refuse': { host: string; label?: string | undefined; code: string; message: string }
  'tenantry:request:start': { label: string; contextId: number; requestId: number; method: string }
  'tenantry:request:finish': {
    label: string
    contextId: number
    requestId: number
    method: string
    statusCode: number
    responseTime: number
  }
  /** `truncated`: the head was sent, so the client saw an answer that breaks off. */
  'tenantry:request:error': {
    label?: string | undefined
    contextId?: number | undefined
    requestId: number
    method: string
    code: string
    truncated: boolean
    error: Error
  }
  'tenantry:evict': { label: string; processGroup: string; reason: EndReason }
  /** Something an operator should know that changes no state, such as a wrong start-up setting. */
  'tenantry:warning': { message: string; label?: string | undefined }
}

/** Why a context ended. The same words stand in events, logs and stats. */
export type EndReason =
  | 'startup' | 'inactivity' | 'deadlock' | 'age' | 'requests' | 'memory' | 'cpu'
  | 'crash' | 'exit' | 'protocol' | 'lru' | 'pressure' | 'reload' | 'admin' | 'shutdown'

export type EventName = keyof EventPayloads

/** The longest client text that an event carries. */
export const MAX_TEXT = 255

const names: readonly EventName[] = [
  'tenantry:group:state',
  'tenantry:context:start',
  'tenantry:context:ready',
  'tenantry:context:exit',
  'tenantry:context:output',
  'tenantry:spare:state',
  'tenantry:daemon:state',
  'tenantry:daemon:output',
  'tenantry:connection:handoff',
  'tenantry:admission:refuse',
  'tenantry:request:start',
  'tenantry:request:finish',
  'tenantry:request:error',
  'tenantry:evict',
  'tenantry:warning',
]

const channels = Object.fromEntries(names.map((name) => [name, diagnostics.channel(name)])) as Record<
  EventName,
  diagnostics.Channel
>

export const EVENT_NAMES: readonly EventName[] = names

/** What a tracer hears of one dispatch: from a request's head to its lease or its refusal. */
export interface DispatchTrace {
  readonly method: string
  readonly host: string
  /** The application group, once it is known. */
  label?: string
  /** Why it was refused. */
  error?: Error
}

/**
 * Node's own form for tracers (APM tools bind to it): `start` and `end` around
 * the part of a dispatch that runs at once, `error` when it is refused,
 * `asyncEnd` when the request has its lease or its refusal.
 */
export const dispatchTracing: diagnostics.TracingChannel<unknown, DispatchTrace> =
  diagnostics.tracingChannel('tenantry.dispatch')

/** True while somebody listens: guard the building of a payload with it. */
export function watched(name: EventName): boolean {
  return channels[name].hasSubscribers
}

/** One event for a hot path: looking its channel up by name costs each request as much as the event itself. */
export class EventOf<N extends EventName> {
  readonly #channel: diagnostics.Channel

  constructor(name: N) {
    this.#channel = channels[name]
  }

  get watched(): boolean {
    return this.#channel.hasSubscribers
  }

  publish(payload: EventPayloads[N]): void {
    this.#channel.publish(payload)
  }
}

export const requestStart = new EventOf('tenantry:request:start')
export const requestFinish = new EventOf('tenantry:request:finish')
export const requestError = new EventOf('tenantry:request:error')

export function publish<N extends EventName>(name: N, payload: EventPayloads[N]): void {
  const channel = channels[name]
  if (channel.hasSubscribers) channel.publish(payload)
}

/** Listens to one channel; returns the function that stops listening. */
export function subscribe<N extends EventName>(name: N, listener: (payload: EventPayloads[N]) => void): () => void {
  const onMessage = (message: unknown): void => listener(message as EventPayloads[N])
  diagnostics.subscribe(name, onMessage)
  return () => diagnostics.unsubscribe(name, onMessage)
}

/** Client text for a payload: never longer than MAX_TEXT. */
export function cutText(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`
}
