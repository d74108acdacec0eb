import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Runtime } from '../runtime.ts'

/** What the middleware uses of a Hono context on @hono/node-server. */
export interface HonoContext {
  readonly env: unknown
}

/** Tells @hono/node-server that Node's response has been taken over. */
const ALREADY_SENT: Readonly<Record<string, string>> = { 'x-hono-already-sent': 'true' }

/**
 * Hono middleware for @hono/node-server: `app.use(tenantry(runtime))`. Requests
 * for the runtime's hosts are answered by their tenants; all others go on.
 */
export function tenantry(
  runtime: Runtime,
): (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined> {
  return (context, next) => {
    const { incoming, outgoing } = context.env as { incoming?: IncomingMessage; outgoing?: ServerResponse }
    if (incoming === undefined || outgoing === undefined) {
      return Promise.reject(new TypeError('tenantry/hono needs @hono/node-server: there is no Node request in context.env'))
    }
    return new Promise((resolve, reject) => {
      const onClose = (): void => resolve(new Response(null, { headers: ALREADY_SENT }))
      outgoing.once('close', onClose)
      runtime.handler(incoming, outgoing, (error) => {
        outgoing.off('close', onClose)
        if (error === undefined) next().then(() => resolve(undefined), reject)
        else reject(error instanceof Error ? error : new Error('The runtime failed', { cause: error }))
      })
    })
  }
}
