/** Each adapter fits the framework's own types, without a cast. */
import { createServer } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { createRuntime } from 'tenantry'
import { tenantry as fastifyTenantry } from 'tenantry/fastify'
import { tenantry as honoTenantry } from 'tenantry/hono'
import { tenantry as koaTenantry } from 'tenantry/koa'

const runtime = createRuntime({ tenants: './tenants' })

express().use(runtime.handler)
createServer(runtime.handler)
createServer().on('request', runtime.handler).on('upgrade', runtime.upgrade)
void Fastify().register(fastifyTenantry, { runtime })
new Koa().use(koaTenantry(runtime))
new Hono().use(honoTenantry(runtime))

// @ts-expect-error the plugin cannot work without a runtime
void Fastify().register(fastifyTenantry, {})
// @ts-expect-error a runtime is not its options
koaTenantry({ tenants: './tenants' })
