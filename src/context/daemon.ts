import { TenantryError } from '../errors.ts'
import { publish } from '../events.ts'
import { StateMachine } from '../state.ts'
import { BEAT_INTERVAL, Control, CONTROL_VERSION, ControlLink } from '../wire/control.ts'
import { readErrorRecord, restoreError } from '../wire/error-record.ts'
import { spawnDaemon } from './daemon-command.ts'
import { DaemonLane } from './daemon-lane.ts'
import { DaemonVessel } from './daemon-vessel.ts'
import { MAX_LINE, splitLines } from './output.ts'
import { usageOf } from './process-usage.ts'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { EndReason, EventPayloads } from '../events.ts'
import type { Transitions } from '../state.ts'
import type { ContextSpec } from './context.ts'
import type { DaemonCommand } from './daemon-command.ts'
import type { Door } from './door.ts'
import type { ProcessUsage } from './process-usage.ts'
import type { Vessel, VesselListener } from './vessel.ts'

/**
 *     starting → serving → ending → exited      any → exited
 */
export type DaemonState = 'starting' | 'serving' | 'ending' | 'exited'

const TRANSITIONS: Transitions<DaemonState> = {
  starting: ['serving', 'ending', 'exited'],
  serving: ['ending', 'exited'],
  ending: ['exited'],
  exited: [],
}

export interface DaemonSettings {
  /** Of its process group. */
  readonly processGroup: string
  readonly command: DaemonCommand
  readonly clock: Clock
  readonly door: Door
  /** How far its threads stand back. */
  readonly nice: number
  /** Until it can start contexts; milliseconds. */
  readonly startupTimeout: number
  /** Without a word from it; milliseconds, 0 is off. */
  readonly deadlockTimeout: number
  /** From the word to end until it is killed; milliseconds. */
  readonly terminateTimeout: number
}

/** How a daemon ended. */
export interface DaemonEnd {
  readonly reason: EndReason
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
}

/** How often its heartbeat is looked at; milliseconds. */
const WATCH_INTERVAL = 500

/**
 * Bytes that are read of its output and of its control socket in one interval; the rest waits. A flood is then the
 * daemon's own affair: a pipe that is full holds its writer, a socket that is full makes it drop lines.
 */
const MOST_READ = 256 * 1024

/** Lines that are handed on in one interval; those beyond are dropped, since the shortest ones cost as much as any. */
const MOST_LINES = 5000

/** How long its streams may stay open when it is gone, and it when its control socket is closed; milliseconds. */
const LAST_WORDS = 1000

/** How long its answer to a look is waited for, and how long it is not asked again after one; milliseconds. */
const LOOK_PATIENCE = 100
const LOOK_DISTANCE = 20

/** Numbers of contexts, never used twice: a late word about one does not meet its successor. */
let nextContext = 1

/** One daemon seen from the front: a child process in which contexts run. It can always be killed. */
export class Daemon {
  /** Resolves when it can start contexts; rejects with ERR_DAEMON_EXITED when it ends before. */
  readonly ready: Promise<void>
  /** Resolves, never rejects, when the process is gone. */
  readonly ended: Promise<DaemonEnd>
  readonly #settings: DaemonSettings
  readonly #state = new StateMachine<DaemonState>('daemon', TRANSITIONS, 'starting', (to, from) => {
    publish('tenantry:daemon:state', { ...this.#names(), from, to, reason: this.#ending?.reason, ...this.#end })
  })
  readonly #child: ChildProcess
  /** What is read of it: output, and the control socket. */
  readonly #streams: readonly Socket[]
  /** Bytes of each in this interval. */
  #read: number[] = []
  #lines = 0
  readonly #link: ControlLink
  readonly #lane: DaemonLane
  readonly #vessels = new Map<number, DaemonVessel>()
  /** That of the application on its main thread: one in its life. */
  #main: DaemonVessel | undefined
  readonly #stopWatch: () => void
  #resolveReady: () => void = () => {}
  #rejectReady: (error: TenantryError) => void = () => {}
  #resolveEnded: (end: DaemonEnd) => void = () => {}
  #ending: { readonly reason: EndReason } | undefined
  #end: Pick<EventPayloads['tenantry:daemon:state'], 'exitCode' | 'signal' | 'error'> = {}
  /** What it says of itself, and what is believed of it. */
  #told: ProcessUsage = { resident: 0, cpu: 0 }
  #usage = this.#told
  #lastWord: number
  #looked: number
  /** It was asked how its contexts are. */
  #look: Promise<void> | undefined
  #endLook: () => void = () => {}
  #mayLookAt = 0
  #stopKill: () => void = () => {}

  constructor(settings: DaemonSettings) {
    this.#settings = settings
    const { clock, command, processGroup } = settings
    this.#child = spawnDaemon(command)
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    // Whoever waits hears of it; nobody has to wait.
    this.ready.catch(() => {})
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#child.on('error', (error) => {
      // Also told of a signal that could not be sent.
      if (this.pid === undefined) this.#onGone(null, null, error)
    })
    this.#child.once('exit', (code, signal) => this.#onGone(code, signal, undefined))
    const [stdout, stderr, control] = (this.#streams = this.#child.stdio.slice(1, 4) as [Socket, Socket, Socket])
    splitLines(stdout, (line) => this.#onLine('stdout', line))
    splitLines(stderr, (line) => this.#onLine('stderr', line))
    this.#link = new ControlLink(control, (message) => this.#onMessage(message), () => {
      // A dying daemon closes it, too, and then says better how it died.
      clock.after(LAST_WORDS, () => this.kill('protocol'))
    })
    this.#link.post([Control.SETUP, { name: processGroup, umask: command.umask }])
    this.#lane = new DaemonLane(this.#child.stdio[4] as Socket, this.#link)
    this.#streams.forEach((stream, index) => {
      stream.on('data', (chunk: Buffer) => this.#countRead(stream, index, chunk.byteLength))
      stream.unref()
    })
    this.#child.unref()
    this.#lastWord = this.#looked = clock.now()
    this.#stopWatch = clock.every(WATCH_INTERVAL, () => this.#watch())
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Bytes, at the last look: by the system's count, else as it last told. */
  get resident(): number {
    return this.#usage.resident
  }

  /** Milliseconds, likewise. */
  get cpu(): number {
    return this.#usage.cpu
  }

  get state(): DaemonState {
    return this.#state.current
  }

  /** Starts a context in it, without a spec a spare one; what comes of that, `listener` hears. */
  open(spec: ContextSpec | undefined, listener: VesselListener): Vessel {
    const { clock, door, nice, processGroup } = this.#settings
    if (this.#state.is('ending', 'exited')) {
      throw new TenantryError('ERR_CONTEXT_EXITED', `The daemon of '${processGroup}' is ${this.state}`, { label: spec?.label })
    }
    const id = nextContext++
    const isMain = spec !== undefined && isOnMain(spec)
    const vessel = new DaemonVessel(listener, isMain, {
      clock, door,
      handOver: (connection) => this.#lane.send(id, connection),
      // The application on its main thread ends only with the process.
      end: () => (isMain ? this.end('admin') : this.#link.post([Control.END, id])),
      lost: () => this.#onLost(id, isMain),
    })
    this.#vessels.set(id, vessel)
    if (isMain) this.#main ??= vessel
    this.#link.post([Control.START, id, spec, vessel.address, nice, isMain])
    return vessel
  }

  /**
   * Asks how its contexts are, of which it tells only twice a second. Resolves when it has told, or after a moment;
   * undefined where it cannot be asked, or was asked just now.
   */
  look(): Promise<void> | undefined {
    const { clock } = this.#settings
    const now = clock.now()
    const isSilent = now - this.#lastWord > 2 * BEAT_INTERVAL
    if (this.#look !== undefined || isSilent || now < this.#mayLookAt || !this.#state.is('serving')) return this.#look
    this.#look = new Promise((resolve) => {
      const stop = clock.after(LOOK_PATIENCE, () => this.#endLook())
      this.#endLook = () => {
        stop()
        this.#look = undefined
        this.#mayLookAt = clock.now() + LOOK_DISTANCE
        resolve()
      }
    })
    this.#link.post([Control.LOOK])
    return this.#look
  }

  /** Tells it to end, and kills it when it does not. Idempotent. */
  end(reason: EndReason): void {
    if (!this.#begin(reason)) return
    this.#link.post([Control.EXIT])
    this.#stopKill()
    this.#stopKill = this.#settings.clock.after(this.#settings.terminateTimeout, () => this.#child.kill('SIGKILL'))
  }

  /** Ends it now, whatever it does. */
  kill(reason: EndReason): void {
    this.#begin(reason)
    this.#child.kill('SIGKILL')
  }

  #begin(reason: EndReason): boolean {
    if (!this.#state.is('starting', 'serving')) return false
    this.#ending = { reason }
    this.#state.to('ending')
    return true
  }

  /** A context without a relay is of no use. Most often it is dying already: how, is heard on the control socket. */
  #onLost(id: number, isMain: boolean): void {
    const { clock, terminateTimeout } = this.#settings
    this.#link.post(isMain ? [Control.EXIT] : [Control.END, id])
    clock.after(terminateTimeout, () => {
      if (isMain) this.kill('crash')
      // Neither ended nor reachable: that breaks the protocol.
      else this.#vessels.get(id)?.listener.onBatch(undefined)
    })
  }

  #countRead(stream: Socket, index: number, bytes: number): void {
    const read = (this.#read[index] ?? 0) + bytes
    this.#read[index] = read
    if (read > MOST_READ) stream.pause()
  }

  /** Every word of it is hostile: its tenants could write to the same socket. */
  #onMessage(message: readonly unknown[] | undefined): void {
    if (message === undefined || !this.#obey(message)) this.kill('protocol')
    else this.#lastWord = this.#settings.clock.now()
  }

  #obey(message: readonly unknown[]): boolean {
    const [kind, first, second, third] = message
    switch (kind) {
      case Control.HELLO:
        if (first !== CONTROL_VERSION) return false
        if (this.#state.is('starting')) this.#state.to('serving')
        this.#resolveReady()
        return true
      case Control.LINE:
        if ((second !== 'stdout' && second !== 'stderr') || typeof third !== 'string' || third.length > MAX_LINE) return false
        if (this.#mayPass()) this.#vessels.get(first as number)?.listener.onLine(second, third)
        return true
      case Control.EXITED: {
        if (second !== undefined && second !== null && !Number.isSafeInteger(second)) return false
        const record = third === undefined ? undefined : readErrorRecord(third)
        const vessel = this.#vessels.get(first as number)
        this.#vessels.delete(first as number)
        vessel?.exited((second as number | null | undefined) ?? null, record && restoreError(record))
        return true
      }
      case Control.BEAT:
        return this.#onBeat(first, second, third)
      case Control.LOOKED:
        this.#endLook()
        return true
      case Control.TAKES:
        this.#lane.open()
        return true
      case Control.TAKEN:
        if (!isAmount(second)) return false
        this.#vessels.get(first as number)?.taken(second)
        return true
      default:
        return false
    }
  }

  #onBeat(resident: unknown, cpu: unknown, boards: unknown): boolean {
    if (!isAmount(resident) || !isAmount(cpu) || !Array.isArray(boards)) return false
    this.#told = { resident, cpu }
    return boards.every((board) => {
      if (!Array.isArray(board)) return false
      const [id, used, cells] = board as unknown[]
      const vessel = this.#vessels.get(id as number)
      return vessel === undefined || (isAmount(used) && vessel.beat(used, cells))
    })
  }

  #mayPass(): boolean {
    return ++this.#lines <= MOST_LINES
  }

  #onLine(stream: 'stdout' | 'stderr', line: string): void {
    if (!this.#mayPass()) return
    // Its own output is that of the application on its main thread, where there is one.
    if (this.#main !== undefined) this.#main.listener.onLine(stream, line)
    else publish('tenantry:daemon:output', { ...this.#names(), stream, line })
  }

  /** Time in which the front itself stood still proves nothing. */
  #watch(): void {
    const { clock, startupTimeout, deadlockTimeout } = this.#settings
    this.#usage = usageOf(this.pid ?? 0) ?? this.#told
    this.#read = []
    if (this.#lines > MOST_LINES) {
      const { processGroup } = this.#settings
      publish('tenantry:warning', { message: `A daemon of '${processGroup}' wrote too fast: ${this.#lines - MOST_LINES} lines were dropped` })
    }
    this.#lines = 0
    for (const stream of this.#streams) stream.resume()
    const now = clock.now()
    const slept = now - this.#looked - 2 * WATCH_INTERVAL
    if (slept > 0) this.#lastWord += slept
    this.#looked = now
    const silent = now - this.#lastWord
    if (this.#state.is('starting') && silent > startupTimeout) this.kill('startup')
    else if (this.#state.is('serving') && deadlockTimeout > 0 && silent > deadlockTimeout) this.kill('deadlock')
  }

  #onGone(exitCode: number | null, signal: NodeJS.Signals | null, error: Error | undefined): void {
    if (this.#state.is('exited')) return
    this.#stopWatch()
    this.#stopKill()
    this.#endLook()
    const wasTold = this.#ending !== undefined
    const reason = this.#ending?.reason ?? (error !== undefined || signal !== null ? 'crash' : 'exit')
    this.#ending ??= { reason }
    this.#end = { exitCode, signal, error }
    this.#link.close()
    this.#lane.close()
    // What it started may hold the other ends for ever.
    this.#settings.clock.after(LAST_WORDS, () => this.#streams.forEach((stream) => stream.destroy()))
    const how = error?.message ?? (signal === null ? `exited with code ${exitCode}` : `was killed by ${signal}`)
    const why = wasTold ? `was ended: ${reason}` : how
    const gone = (): TenantryError => {
      const message = `The daemon of the process group '${this.#settings.processGroup}' ${why}`
      return new TenantryError('ERR_DAEMON_EXITED', message, { cause: error })
    }
    for (const vessel of this.#vessels.values()) vessel.exited(exitCode, gone())
    this.#rejectReady(gone())
    this.#vessels.clear()
    this.#state.to('exited')
    this.#resolveEnded({ reason, exitCode, signal })
  }

  #names(): { processGroup: string; pid: number | undefined } {
    return { processGroup: this.#settings.processGroup, pid: this.pid }
  }
}

/** `%{GLOBAL}` has the empty name, which nothing that a request says can give. */
export function isOnMain(spec: ContextSpec): boolean {
  return spec.label === ''
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity
}
