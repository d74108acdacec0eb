/**
 * Promises about types, kept by the compiler alone: `npm run types` fails when one is broken.
 * They look at the declarations that users get, so the package is imported by its name.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createRuntime, TenantryError } from 'tenantry'
import type { DispatchHook, ErrorCode, Runtime, RuntimeOptions, Tenant } from 'tenantry'
import { onDrain, waitUntil } from 'tenantry/tenant'
import type { label } from 'tenantry/tenant'
import { expectType } from './equal.ts'
import type { Equal } from './equal.ts'

const runtime = createRuntime({ tenants: './tenants' })

// What comes out.
expectType<Equal<typeof runtime, Runtime>>()
expectType<Equal<Runtime['state'], 'created' | 'serving' | 'draining' | 'closed'>>()
expectType<Equal<
  Parameters<Runtime['handler']>,
  [req: IncomingMessage, res: ServerResponse, next?: ((err?: unknown) => void) | undefined]
>>()
expectType<Equal<ReturnType<Runtime['handler']>, void>>()
expectType<Equal<ReturnType<Runtime['start']>, Promise<Runtime>>>()
expectType<Equal<ReturnType<Runtime['evict']>, Promise<boolean>>>()
expectType<Equal<ReturnType<Runtime['destroy']>, Promise<void>>>()
expectType<Awaited<ReturnType<Runtime['listen']>> extends Server ? true : false>()
expectType<Runtime extends AsyncDisposable ? true : false>()
// @ts-expect-error the resolved options are frozen
runtime.options.maxGroups = 1
// @ts-expect-error only the runtime moves its own state
runtime.state = 'closed'

// What goes in.
createRuntime({ tenants: new Map([['a.test', './a.mjs']]) })
createRuntime({ tenants: { 'a.test': './a.mjs', 'b.test': { entry: new URL('file:///b.mjs'), kind: 'node' } } })
createRuntime({ tenants: (host) => (host.endsWith('.test') ? { entry: './a.mjs' } : undefined), allowedHosts: true })
createRuntime({ tenants: async (host, signal) => (signal.aborted ? undefined : { entry: `./${host}.mjs` }), allowedHosts: ['*.test'] })
createRuntime({ tenants: './tenants', handlerTimeout: '2s', memoryLimit: '256mb', maxGroups: 10, logger: false })
createRuntime({ tenants: './tenants', applicationGroup: ({ host }) => host ?? 'none' })
// @ts-expect-error tenants are required
createRuntime({})
// @ts-expect-error there is no such option
createRuntime({ tenants: './tenants', maxGroup: 10 })
// @ts-expect-error a count is a number
createRuntime({ tenants: './tenants', maxGroups: '10' })
// @ts-expect-error a tenant is a module or its settings
createRuntime({ tenants: { 'a.test': 7 } })
// @ts-expect-error there is no such kind
const wrongKind: Tenant = { entry: './a.mjs', kind: 'express' }
void wrongKind

// Errors: one class, and codes that a switch can exhaust.
declare const thrown: unknown
if (thrown instanceof TenantryError) {
  expectType<Equal<typeof thrown.code, ErrorCode>>()
  expectType<Equal<typeof thrown.status, number | null>>()
  expectType<Equal<typeof thrown.retryAfter, number | undefined>>()
  // @ts-expect-error a code that does not exist is a slip, and the compiler finds it
  void (thrown.code === 'ERR_UNKNOWN')
}

// No `any` leaks out of an option.
type AnyKey<T> = { [K in keyof T]-?: 0 extends 1 & T[K] ? K : never }[keyof T]
expectType<Equal<AnyKey<RuntimeOptions>, never>>()
expectType<Equal<AnyKey<Runtime['options']>, never>>()
expectType<Equal<AnyKey<Tenant>, never>>()

// Hooks answer at once or later, and with nothing but what they may.
createRuntime({ tenants: './tenants', access: () => 402, dispatch: async () => await Promise.resolve(undefined) })
createRuntime({ tenants: './tenants', access: async ({ headers }) => await Promise.resolve(headers['x-key'] === 'k') })
// @ts-expect-error a verdict is a boolean or a status
createRuntime({ tenants: './tenants', access: () => 'yes' })
// @ts-expect-error what a hook sees is not to be changed
const meddling: DispatchHook = (request) => { request.url = '/'; return undefined }
void meddling

// What an application may ask: also outside a context, where there are no names.
expectType<Equal<typeof label, string | undefined>>()
expectType<Equal<ReturnType<typeof onDrain>, () => void>>()
waitUntil(onDrain(async () => await Promise.resolve()))
