import { systemClock } from './clock.ts'
import { openDescriptors } from './context/descriptors.ts'
import { openHouses } from './daemons.ts'
import { describeDirectory } from './describe.ts'
import { TenantryError } from './errors.ts'
import { publish } from './events.ts'
import { explainRequest } from './explain.ts'
import { BodyDeadlines } from './connection/body-deadlines.ts'
import { Certificates } from './http/certificates.ts'
import { Dispatcher } from './http/dispatch.ts'
import { HeadDeadlines } from './http/head-deadlines.ts'
import { Lanes } from './http/lane.ts'
import { listen } from './http/server.ts'
import { readAhead } from './http/server-names.ts'
import { ServerEnd } from './http/server-end.ts'
import { SendDeadlines } from './connection/send-deadlines.ts'
import { Sweep } from './connection/sweep.ts'
import { startLog } from './ops/log.ts'
import { openLogger } from './ops/logger.ts'
import { resolveOptions } from './options.ts'
import { openDirectory } from './resolving.ts'
import { Serving } from './serving.ts'
import { warnAboutHost } from './host-warnings.ts'
import { StateMachine } from './state.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { SourceDescription } from './describe.ts'
import type { AskedRequest, Explanation } from './explain.ts'
import type { CloseCount, GroupsStats } from './group/group-stats.ts'
import type { Houses } from './daemons.ts'
import type { GroupTarget } from './group/lease.ts'
import type { ProcessGroups } from './group/process-groups.ts'
import type { ProcessGroupStats } from './group/process-group-stats.ts'
import type { DirectoryChange, TenantProblem } from './group/tenant.ts'
import type { PeerInfo } from './http/fetch-source.ts'
import type { LaneStats } from './http/lane-choice.ts'
import type { WatchedServer } from './http/head-deadlines.ts'
import type { ListenOptions } from './http/server.ts'
import type { ListenTls } from './http/tls-options.ts'
import type { ClientFacts } from './label/trust.ts'
import type { ResolvedOptions, RuntimeOptions } from './options.ts'
import type { Transitions } from './state.ts'

export type RuntimeState = 'created' | 'serving' | 'draining' | 'closed'

/** What a runtime looks like now: a copy, safe to keep. */
export interface RuntimeStats extends GroupsStats {
  readonly state: RuntimeState
  /** Which lanes the connections of servers of `listen()` took. */
  readonly lanes: LaneStats
  /** The daemons of each process group, and the application groups in them; the fields beside it are this process's own. */
  readonly processGroups: readonly ProcessGroupStats[]
}

export interface CloseOptions {
  /** How long requests in flight may go on, in milliseconds; default `drainTimeout`. */
  readonly timeout?: number
}

/** How `close()` went. */
export type CloseReport = CloseCount

/**
 * Many applications behind one handler. Made by `createRuntime`; nothing runs
 * until the first request or `start()`, and `close()` ends everything.
 */
export interface Runtime extends AsyncDisposable {
  readonly state: RuntimeState
  /** Every option as it is in effect, frozen, defaults filled in. */
  readonly options: ResolvedOptions
  /**
   * Serves a request; a Connect middleware, and a listener of 'request'. A host
   * that is not ours goes to `next` where there is one. Bound: pass it around freely.
   */
  readonly handler: (req: IncomingMessage, res: ServerResponse, next?: (err?: unknown) => void) => void
  /**
   * Serves an upgrade; a listener of 'upgrade', of 'connect', and of an HTTP/2 server's 'connect' (RFC 8441). A host that
   * is not ours goes to `next` where there is one. Bound.
   */
  readonly upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer, next?: (err?: unknown) => void) => void
  /**
   * Serves a Request, for a fetch-style host; `info` says what a Request does not. A refusal is a Response. Rejects with
   * the signal's reason for a request that was aborted, and with ERR_CONTEXT_EXITED where the application destroys its
   * connection before it answers; an answer that breaks off is an errored body. Bound.
   */
  readonly fetch: (request: Request, info?: PeerInfo) => Promise<Response>
  /**
   * Watches how fast request heads come on a server of yours, HTTP/1 or HTTP/2: `headerTimeout` and what extends it.
   * Call it before the server listens. Bodies are watched anyway, and servers of `listen()` are protected.
   */
  protect(server: WatchedServer): void
  /**
   * Starts a server that Tenantry owns; all of them together have at most `maxConnections`; `close()` closes it. Rejects with Node's own error
   * when it cannot listen, with ERR_OPTION_INVALID or ERR_CONFIG for a certificate of its own that cannot be used.
   */
  listen(options?: ListenOptions): Promise<Server>
  /** Resolves when requests can be served. Calling it is optional. */
  start(): Promise<Runtime>
  stats(): RuntimeStats
  /** The hosts that the tenant source names; undefined for a function. */
  patterns(): readonly string[] | undefined
  /** Tenants that were found but cannot be served, and why. */
  problems(): readonly TenantProblem[]
  /**
   * Reads the tenant source again: changed tenants are reloaded, removed ones drained. With options, those that may
   * change while serving (docs/options.md) take effect, too; the others stay as they were. Rejects with what is wrong
   * in them or in the source, and then nothing has changed.
   */
  refresh(options?: RuntimeOptions): Promise<DirectoryChange>
  /** Ends the groups of that label; what is in flight finishes first. Resolves with whether there were any. */
  evict(label: string): Promise<boolean>
  /** New context first, then switch, then drain the old one. Rejects with why it could not start; the old one goes on. */
  reload(label: string): Promise<boolean>
  /** Drains, then ends. Idempotent, never rejects, always ends. */
  close(options?: CloseOptions): Promise<CloseReport>
  /** Ends everything at once; requests in flight fail. */
  destroy(reason?: Error): Promise<void>
}

const TRANSITIONS: Transitions<RuntimeState> = {
  created: ['serving', 'draining'],
  serving: ['draining'],
  draining: ['closed'],
  closed: [],
}

/** Long, since it only has to exist. */
const HOLD_INTERVAL = 60_000

/**
 * Makes a runtime from its options.
 * @throws TenantryError ERR_OPTION_INVALID, ERR_CONFIG
 */
export function createRuntime(options: RuntimeOptions): Runtime {
  return new TenantRuntime(resolveOptions(options))
}

/** What a tenant source holds, resolved, without starting anything: `tenantry check`. */
export async function describeTenants(options: RuntimeOptions, port: number, tls?: ListenTls): Promise<SourceDescription> {
  const resolved = resolveOptions(options)
  return await describeDirectory(openDirectory(resolved), resolved, port, tls)
}

/** How a request would be resolved, without starting anything: `tenantry explain`. */
export async function explain(options: RuntimeOptions, port: number, asked: AskedRequest): Promise<Explanation> {
  return await explainRequest(resolveOptions(options), port, asked)
}

class TenantRuntime implements Runtime {
  readonly #state = new StateMachine('runtime', TRANSITIONS, 'created')
  readonly #houses: Houses
  readonly #groups: ProcessGroups
  readonly #dispatcher: Dispatcher
  readonly #heads: HeadDeadlines
  readonly #lanes: Lanes
  readonly #servers = new Set<ServerEnd>()
  readonly #certificates = new Certificates(systemClock)
  readonly #stopLog: () => void
  readonly #serving: Serving
  #speaksTls = false
  #closing: Promise<CloseReport> | undefined
  #refreshing: Promise<unknown> = Promise.resolve()

  constructor(options: ResolvedOptions) {
    this.#serving = new Serving(options)
    // Not before: a runtime that cannot be made must leave no subscriber behind.
    const logger = openLogger(options.logger)
    this.#stopLog = logger === undefined ? () => {} : startLog(logger)
    this.#houses = openHouses(options, (peer) => this.#lanes.keep(peer))
    this.#groups = this.#houses.groups
    const sweep = new Sweep(systemClock)
    this.#heads = new HeadDeadlines(
      { timeout: options.headerTimeout, maxTimeout: options.headerMaxTimeout, minRate: options.headerMinRate },
      sweep,
    )
    const ways = {
      groups: this.#groups,
      trust: (peer: ClientFacts, rawHeaders: readonly string[]) => this.#serving.trust(peer, rawHeaders),
      resolver: () => this.#serving.resolver,
      accepts: () => this.#closing === undefined,
    }
    this.#lanes = new Lanes({
      ...ways,
      options: () => this.options,
      hasDescriptors: () => openDescriptors() !== undefined,
      maxConnections: options.maxConnections,
      countHanded: () => this.#groups.countHanded(),
      headerTimeout: options.headerTimeout,
      sweep,
    })
    this.#dispatcher = new Dispatcher({
      ...ways,
      bodies: new BodyDeadlines(
        { timeout: options.bodyTimeout, maxTimeout: options.bodyMaxTimeout, minRate: options.bodyMinRate },
        sweep,
      ),
      clock: systemClock,
      sends: new SendDeadlines(options.sendTimeout, sweep),
    })
    options.signal?.addEventListener('abort', () => void this.close(), { once: true })
    if (options.signal?.aborted === true) void this.close()
    warnAboutHost(options)
  }

  get options(): ResolvedOptions {
    return this.#serving.options
  }

  get state(): RuntimeState {
    return this.#state.current
  }

  readonly handler = (req: IncomingMessage, res: ServerResponse, next?: (err?: unknown) => void): void => {
    this.#serve()
    this.#dispatcher.request(req, res, next)
  }

  readonly upgrade = (
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    next?: (err?: unknown) => void,
  ): void => {
    this.#serve()
    this.#dispatcher.upgrade(req, socket, head, next)
  }

  readonly fetch = (request: Request, info?: PeerInfo): Promise<Response> => {
    this.#serve()
    return this.#dispatcher.fetch(request, info)
  }

  async start(): Promise<Runtime> {
    this.#mustBeOpen()
    this.#serve()
    return await Promise.resolve(this)
  }

  async listen(options: ListenOptions = {}): Promise<Server> {
    this.#mustBeOpen()
    this.#lanes.open()
    const server = await listen(this.#dispatcher, this.#heads, this.#lanes, options, {
      certificates: this.#certificates,
      tenantOf: (host) => this.#serving.resolver.tenantOf(host),
      handshakeTimeout: this.options.headerTimeout,
    })
    if (options.tls !== undefined) {
      this.#speaksTls = true
      void this.#readCertificates()
    }
    // Not before: no daemon starts for an address that cannot be had.
    this.#serve()
    const end = new ServerEnd(server, systemClock)
    this.#servers.add(end)
    server.once('close', () => this.#servers.delete(end))
    return server
  }

  protect(server: WatchedServer): void {
    this.#heads.protect(server)
  }

  stats(): RuntimeStats {
    return { state: this.state, lanes: this.#lanes.stats(), ...this.#groups.stats() }
  }

  patterns(): readonly string[] | undefined {
    return this.#serving.directory.patterns()
  }

  problems(): readonly TenantProblem[] {
    return this.#serving.directory.problems()
  }

  async refresh(given?: RuntimeOptions): Promise<DirectoryChange> {
    const read = this.#refreshing.then(() => this.#serving.readAgain(given && resolveOptions(given)))
    // One after the other: what was asked for last is what counts in the end.
    this.#refreshing = read.catch(() => {})
    const change = await read
    if (this.#speaksTls) await this.#readCertificates()
    await Promise.all(this.#groups.targets().map((target) => this.#refreshGroup(target)))
    return change
  }

  async evict(label: string): Promise<boolean> {
    return await this.#groups.evict(label)
  }

  async reload(label: string): Promise<boolean> {
    await this.#serving.readTenants()
    if (this.#speaksTls) await this.#readCertificates()
    const targets = this.#groups.targets().filter((target) => target.key === label || target.label === label)
    await Promise.all(targets.map((target) => this.#renew(target)))
    return targets.length > 0
  }

  close({ timeout = this.options.drainTimeout }: CloseOptions = {}): Promise<CloseReport> {
    this.#closing ??= this.#end(this.#groups.close(timeout), timeout)
    return this.#closing
  }

  async destroy(reason?: Error): Promise<void> {
    const error = new TenantryError('ERR_CONTEXT_EXITED', 'The server was destroyed', { cause: reason })
    const destroyed = this.#groups.destroy(error)
    this.#closing ??= this.#end(this.#groups.close(0), 0)
    await destroyed
    for (const server of this.#servers) server.cut()
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new TenantryError('ERR_STATE', `The runtime is ${this.state} and cannot start again`)
  }

  #serve(): void {
    if (!this.#state.is('created')) return
    this.#state.to('serving')
    this.#groups.start()
  }

  /** Servers stop accepting at once; a connection closes when its last answer is out, at the latest after `timeout`. */
  async #end(groups: Promise<CloseCount>, timeout: number): Promise<CloseReport> {
    this.#state.to('draining')
    // Nothing of ours keeps an idle process alive, but it must not end before what it promised to finish.
    const hold = setInterval(() => {}, HOLD_INTERVAL)
    const deadline = performance.now() + timeout
    const servers = [...this.#servers]
    const closed = Promise.all(servers.map((server) => server.drain()))
    const report = await groups
    // An application has finished before a slow client has read its answer.
    const stop = systemClock.after(Math.max(0, deadline - performance.now()), () => {
      for (const server of servers) server.cut()
    })
    await closed
    stop()
    clearInterval(hold)
    this.#dispatcher.close()
    this.#houses.close()
    this.#state.to('closed')
    this.#stopLog()
    return report
  }

  /** What is wrong with a certificate is said now, and not when a client comes. */
  async #readCertificates(): Promise<void> {
    await this.#certificates.refresh()
    await readAhead(this.#certificates, this.#serving.directory)
  }

  /** After a change of the source: a group whose tenant changed is reloaded, and goes on as it was if that fails. */
  async #refreshGroup(target: GroupTarget): Promise<void> {
    try {
      if (!(await this.#serving.isCurrent(target))) await this.#renew(target)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      publish('tenantry:warning', { label: target.label, message: `The reload failed and the old version goes on: ${why}` })
    }
  }

  /** The tenant as it is now in a new context; a group whose tenant is gone, or has become another's, drains. */
  async #renew(target: GroupTarget): Promise<void> {
    const tenant = await this.#serving.tenantOf(target)
    if (tenant === undefined) this.#groups.retire(target.key, 'reload')
    else await this.#groups.reload(target.key, (old) => this.#serving.resolver.retarget(old, tenant))
  }
}
