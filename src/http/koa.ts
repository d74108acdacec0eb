import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Runtime } from '../runtime.ts'

/** What the middleware uses of a Koa context. */
export interface KoaContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  respond?: boolean
}

/**
 * Koa middleware: `app.use(tenantry(runtime))`. Requests for the runtime's hosts
 * are answered by their tenants; all others go to the next middleware.
 */
export function tenantry(runtime: Runtime): (context: KoaContext, next: () => Promise<unknown>) => Promise<unknown> {
  return (context, next) =>
    new Promise((resolve, reject) => {
      const { req, res } = context
      const onClose = (): void => resolve(undefined)
      res.once('close', onClose)
      // Koa would write a 404 of its own as soon as this promise settles.
      context.respond = false
      // Koa presets 404; an application that sets no status means 200.
      res.statusCode = 200
      runtime.handler(req, res, (error) => {
        res.off('close', onClose)
        context.respond = true
        res.statusCode = 404
        if (error === undefined) next().then(resolve, reject)
        else reject(error instanceof Error ? error : new Error('The runtime failed', { cause: error }))
      })
    })
}
