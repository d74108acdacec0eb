import type { Socket } from 'node:net'
import type { EndReason } from '../events.ts'
import type { ErrorCode, TenantryError } from '../errors.ts'
import type { FrontChannel } from '../wire/front-channel.ts'
import type { ConnectionPace, RequestLimits } from '../wire/held.ts'
import type { HandedCertificate } from '../wire/handover.ts'
import type { ScoreboardReader } from '../wire/scoreboard.ts'

/** How an entry module is served; `auto` looks at what it exports or listens with. */
export type TenantKind = 'auto' | 'listen' | 'node' | 'fetch'

/** One application of a tenant: the mount path ('' at the root, else '/blog') and its entry, an absolute path. */
export interface Mount {
  readonly path: string
  readonly entry: string
}

/** What one context may use and how long it may live; 0 is off. Milliseconds and bytes. */
export interface ContextLimits {
  readonly startupTimeout: number
  readonly memoryLimit: number
  /** Of bodies under way in the front beyond each one's first window, and of complete answers that nobody reads. */
  readonly bufferLimit: number
  readonly deadlockTimeout: number
  /** Of CPU, over the context's life. */
  readonly cpuTimeLimit: number
  readonly maxRequests: number
  readonly maxAge: number
  readonly terminateTimeout: number
  readonly trimTimeout: number
}

/** Node's permission model for one context: what it may read and write besides its own code. */
export interface PermissionSpec {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** Everything that is needed to start one context. Frozen; plain data. */
export interface ContextSpec {
  readonly label: string
  readonly processGroup: string
  readonly mounts: readonly Mount[]
  readonly kind: TenantKind
  readonly env: Readonly<Record<string, string>>
  /** Modules imported before the entry, absolute paths or package names seen from the entry. */
  readonly preload: readonly string[]
  /** undefined: no permission model. */
  readonly permission: PermissionSpec | undefined
  /** The folder an application runs in: what relative settings of the tenant refer to. */
  readonly directory: string
  readonly limits: ContextLimits
  /** What its own server holds the requests to that come on connections which were handed over. */
  readonly requests: RequestLimits
  /** And their clients; undefined: nobody hands connections to it. */
  readonly pace?: ConnectionPace | undefined
}

/**
 *     starting → serving → draining → exited       any → exited
 *     any → zombie (terminate() passed its deadline) → exited
 */
export type ContextState = 'starting' | 'serving' | 'draining' | 'exited' | 'zombie'

/**
 * How a context ended: why, and with what. `terminated`: it did not end by itself, drained or not;
 * `zombie`: its thread outlived terminate().
 */
export interface ContextEnd {
  readonly reason: EndReason
  readonly terminated: boolean
  readonly exitCode: number | null
  readonly error: TenantryError | undefined
  readonly zombie: boolean
}

/** A client's connection that a context may serve itself from now on. */
export interface OfferedConnection {
  /** TCP, and nothing reads it any more. */
  readonly socket: Socket
  /** What was read of it. */
  readonly first: Uint8Array
  /** Host fields, as clients write them, that lead to this context's group on this connection. */
  readonly hosts: readonly string[]
  /** With it the client speaks TLS, and nothing of the handshake has been done. */
  readonly certificate?: HandedCertificate | undefined
  /**
   * Called when the context has ended and never opened it, where the descriptor is still in this process: with the
   * connection as it was, all that was read of it to be read again. Without it, or elsewhere, it is closed.
   */
  readonly onReturned?: ((socket: Socket) => void) | undefined
}

/** What of it crosses, and who has it back. */
export type Offer = Omit<OfferedConnection, 'socket'>

/** ONE context seen from the front: a worker thread now, a daemon's main thread later. */
export interface Context {
  readonly id: number
  readonly spec: ContextSpec
  readonly state: ContextState
  /** Read it while the context spins: it is shared memory. */
  readonly scoreboard: ScoreboardReader
  /** Milliseconds of CPU that its thread has used; exact on Linux, else the time its event loop was busy. */
  cpuTime(): number
  /** Requests open on the relay now. */
  readonly inFlight: number
  /** The relay into the context; throws ERR_STATE unless serving or draining. */
  readonly channel: FrontChannel
  /** Resolves when the application can serve; rejects with ERR_START_FAILED, ERR_START_TIMEOUT and the like. */
  readonly ready: Promise<void>
  /** Resolves, never rejects, when the thread is gone or has become a zombie. */
  readonly ended: Promise<ContextEnd>
  /**
   * Called once, before its requests fail, when somebody ends it: no request may be given to it any more. A violation of
   * the protocol is found out here, not by whoever leases it.
   */
  onCondemned: ((reason: EndReason, error: TenantryError) => void) | undefined
  /** Called for each request that it refused or gave up on a connection that was handed over. */
  onRefusal: ((code: ErrorCode) => void) | undefined
  /** Called when a client asked for another context's host on such a connection: the peer's address, or empty. */
  onMisdirected: ((peer: string) => void) | undefined
  /**
   * Moves a connection into the context. True: it has left this process, `socket` is destroyed, and its client has seen
   * nothing of that. False: nothing has happened; the relay can serve it.
   */
  handOver(connection: OfferedConnection): boolean
  /**
   * Serving → draining: no new request comes, the application is told. In-flight requests go on.
   * Its end is put down to `reason`, unless it crashes or exits under a request; without one, to its exit.
   */
  drain(reason?: EndReason): void
  /** Ends the thread; open requests fail with `error`. Idempotent, never rejects, bounded by terminateTimeout. */
  terminate(reason: EndReason, error?: TenantryError): Promise<ContextEnd>
}

/**
 *     starting → spare → taken       starting → taken (it need not have booted)       starting, spare → ending → exited
 */
export type SpareState = 'starting' | 'spare' | 'taken' | 'ending' | 'exited'

/** A context without a tenant, which waits for one. */
export interface SpareContext {
  readonly state: SpareState
  /** Resolves, never rejects, when it is gone, or past terminateTimeout; of one that was taken, its context says so. */
  readonly ended: Promise<void>
  /** Becomes the context of `spec`, which must fit. Throws ERR_STATE unless it starts or waits. */
  take(spec: ContextSpec): Context
  /** Ends it, unless it was taken. Idempotent, never throws. */
  end(reason: EndReason): void
}

/** Starts a spare context; undefined where there is no place for one now. Throws as CreateContext. */
export type CreateSpare = () => SpareContext | undefined

/** Starts a context. Throws a TenantryError synchronously when no thread can be made. */
export type CreateContext = (spec: ContextSpec) => Context
