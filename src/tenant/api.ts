import type { DrainListener, OwnContext } from './lifecycle.ts'

export type { DrainListener }

/** As in tenant/lifecycle.ts: the application may have another copy of this package than its server. */
const CONTEXT = Symbol.for('tenantry.context')

/**
 * `tenantry/tenant`: what an application may ask of the context that it runs in.
 * An application needs none of it. Outside a context (under plain `node`, and in
 * threads of the application's own) there is nobody to ask: the names are
 * undefined, no drain is ever announced, and `node` itself waits for open work.
 */
const own = (globalThis as unknown as Readonly<Record<symbol, OwnContext | undefined>>)[CONTEXT]

/** The name of the application group, as mod_wsgi shows it; '' is `%{GLOBAL}`. Outside a context undefined. */
export const label: string | undefined = own?.label

/** The name of the process group; '' is the server's own process. Outside a context undefined. */
export const processGroup: string | undefined = own?.processGroup

/**
 * Calls `listener` once, when this context is told to end (replaced, evicted, closed): requests in flight go on, and no
 * new one comes. The context waits for what it returns, at most until `drainTimeout`; what it throws is logged. Where
 * the drain has begun already it is called at once; outside a context never.
 * @returns the function that takes the listener away
 */
export function onDrain(listener: DrainListener): () => void {
  return own === undefined ? () => {} : own.onDrain(listener)
}

/**
 * Keeps a draining context from ending while `promise` is pending, at most until `drainTimeout`: for work that goes on
 * after its answer. A rejection is an uncaught one of the application. Outside a context it does nothing.
 */
export function waitUntil(promise: unknown): void {
  own?.waitUntil(promise)
}
