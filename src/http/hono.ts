import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Runtime } from '../runtime.ts'

/** What the middleware uses of a Hono context on @hono/node-server. */
export interface HonoContext {
  readonly env: unknown
}

/** Tells @hono/node-server that Node's response has been taken over. */
function alreadySent(): Response {
  const response = new Response(null, { headers: { 'x-hono-already-sent': 'true' } })
  // Its own class of Response, which is the global one now, is written without a look at this field until its body was asked for.
  void response.body
  return response
}

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
      const onClose = (): void => resolve(alreadySent())
      outgoing.once('close', onClose)
      runtime.handler(incoming, outgoing, (error) => {
        outgoing.off('close', onClose)
        if (error === undefined) next().then(() => resolve(undefined), reject)
        else reject(error instanceof Error ? error : new Error('The runtime failed', { cause: error }))
      })
    })
  }
}
