import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { readFileSync } from 'node:fs'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import Fastify from 'fastify'
import Koa from 'koa'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { tenantry as fastifyPlugin } from '../../src/http/fastify.ts'
import { tenantry as honoMiddleware } from '../../src/http/hono.ts'
import { tenantry as koaMiddleware } from '../../src/http/koa.ts'
import { listen } from '../tenant/front.ts'
import type { AddressInfo } from 'node:net'
import type { Runtime } from '../../src/runtime.ts'
import type { Scope } from './lanes.ts'

/** What stands behind a server: the handler itself, which is the oracle, or a runtime whose tenant it is. */
export type Application = http.RequestListener | Runtime

export const TLS = { key: readFileSync('test/fixtures/tls/key.pem'), cert: readFileSync('test/fixtures/tls/cert.pem') }

/** Serves an application to clients that speak HTTP/1.1; resolves with the port. */
export type Embedding = (t: Scope, application: Application) => Promise<number>

/** Every server that can stand in front. The handler itself is mounted where a runtime is, so that what a framework does is no difference. */
export const EMBEDDINGS: Readonly<Record<string, Embedding>> = {
  'runtime.listen()': async (t, application) =>
    isRuntime(application) ? ((await application.listen()).address() as AddressInfo).port : await listen(t, http.createServer(application)),
  'runtime.listen(), TLS': async (t, application) =>
    await plain(t, isRuntime(application)
      ? ((await application.listen({ tls: TLS })).address() as AddressInfo).port
      : await listen(t, https.createServer(TLS, application))),
  'node:http': (t, application) => listen(t, http.createServer(listenerOf(application))),
  'node:https': async (t, application) => await plain(t, await listen(t, https.createServer(TLS, listenerOf(application)))),
  'Express 5': (t, application) => listen(t, http.createServer(express().disable('x-powered-by').use(listenerOf(application)))),
  'Express 4': (t, application) => listen(t, http.createServer(express4().disable('x-powered-by').use(listenerOf(application)))),
  Connect: (t, application) => listen(t, http.createServer(connect().use(listenerOf(application)))),
  Fastify: async (t, application) => {
    const app = Fastify()
    if (isRuntime(application)) await app.register(fastifyPlugin, { runtime: application })
    else app.addHook('onRequest', ({ raw }, reply) => { application(raw, reply.raw) })
    await app.ready()
    return await listen(t, app.server)
  },
  Koa: (t, application) => {
    const app = new Koa()
    app.silent = true
    if (isRuntime(application)) app.use(koaMiddleware(application))
    else {
      app.use((context) => {
        context.respond = false
        context.res.statusCode = 200
        application(context.req, context.res)
      })
    }
    return listen(t, http.createServer(app.callback() as http.RequestListener))
  },
  Hono: (t, application) => {
    const app = new Hono<{ Bindings: { incoming: http.IncomingMessage; outgoing: http.ServerResponse } }>()
    if (isRuntime(application)) app.use(honoMiddleware(application))
    else {
      app.use(({ env }) => {
        application(env.incoming, env.outgoing)
        // Hono's own word for it, RESPONSE_ALREADY_SENT, is lost for HEAD.
        return new Promise<never>(() => {})
      })
    }
    return listen(t, createAdaptorServer({ fetch: app.fetch }) as http.Server)
  },
}

/** Behind a middleware that has set a field: then a head is not written as it came, but field by field. */
export const WITH_A_FIELD: Readonly<Record<string, Embedding>> = {
  'Express with a field of its own': (t, application) => {
    const app = express().use((_req, res, next) => {
      res.setHeader('X-Outer', '1')
      next()
    })
    return listen(t, http.createServer(app.use(listenerOf(application))))
  },
}

function isRuntime(application: Application): application is Runtime {
  return typeof application !== 'function'
}

/** What a server, Express or Connect calls; without a `next`, since nobody else is there to answer. */
function listenerOf(application: Application): http.RequestListener {
  return isRuntime(application) ? application.handler : application
}

/** A port that speaks plainly for a server that speaks TLS, so that one raw client does for both. */
async function plain(t: Scope, port: number): Promise<number> {
  const open = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'a.test', ALPNProtocols: ['http/1.1'] })
    open.add(socket)
    for (const [one, other] of [[client, socket], [socket, client]] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroySoon())
      one.pipe(other)
    }
    socket.on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}
