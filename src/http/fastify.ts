import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Runtime } from '../runtime.ts'

/** What the plugin uses of a Fastify instance. */
export interface FastifyLike {
  addHook(
    name: 'onRequest',
    hook: (
      request: { readonly raw: IncomingMessage },
      reply: { readonly raw: ServerResponse },
      done: (error?: Error) => void,
    ) => void,
  ): unknown
}

export interface TenantryPluginOptions {
  readonly runtime: Runtime
}

/**
 * Fastify plugin: `app.register(tenantry, { runtime })`. Requests for the
 * runtime's hosts are answered by their tenants, before Fastify reads a body;
 * all others are routed by Fastify.
 */
export function tenantry(fastify: FastifyLike, { runtime }: TenantryPluginOptions, done: (error?: Error) => void): void {
  fastify.addHook('onRequest', (request, reply, next) => {
    // Fastify waits for `next`; a request that is ours never calls it, and its answer is complete without.
    runtime.handler(request.raw, reply.raw, (error) => next(error === undefined ? undefined : (error as Error)))
  })
  done()
}

// Fastify encapsulates plugins; this one is for the whole instance (what fastify-plugin would set).
Object.assign(tenantry, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'tenantry' })
