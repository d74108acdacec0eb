import { TenantryError } from '../errors.ts'
import { suggestion } from '../nearest.ts'
import { showValue } from '../units.ts'
import type { Clock } from '../clock.ts'
import type { ClientFacts } from '../label/trust.ts'
import type { RequestFacts } from '../label/request-facts.ts'

/** What a hook sees of a request: its head, and who asks. A frozen copy. */
export interface RequestView {
  readonly method: string
  /** The request target as it came. */
  readonly url: string
  /** Canonical: lower case, no trailing dot, without the port. */
  readonly host: string
  /** By lower-case name; several of one name are joined with ', ', cookies with '; '. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The client's IP address as trustProxy gives it; '' where there is none (a Unix socket). */
  readonly clientAddress: string
  /** TLS between the client and the first trusted hop. */
  readonly encrypted: boolean
}

/** Where a request is to go instead of where its host would take it. What is left out stays as it is. */
export interface Dispatch {
  /** The name of the application group; a text and never a label, so that no request data reaches `%{GLOBAL}`. */
  readonly applicationGroup?: string | undefined
  /** The name of a declared process group. */
  readonly processGroup?: string | undefined
  /** The host whose tenant serves the request; the allow list is not asked again. */
  readonly tenant?: string | undefined
}

type Awaitable<T> = T | PromiseLike<T>

/** Chooses where a request goes. `signal` is aborted when nobody waits for the answer any more. */
export type DispatchHook = (request: RequestView, signal: AbortSignal) => Awaitable<Dispatch | undefined>

/** true allows; false denies with 403, a number from 400 to 499 with that status. Anything else is a mistake: 500. */
export type AccessHook = (request: RequestView, signal: AbortSignal) => Awaitable<boolean | number>

const DISPATCH_KEYS: readonly string[] = ['applicationGroup', 'processGroup', 'tenant'] satisfies (keyof Dispatch)[]

export interface HookSettings {
  readonly dispatch: DispatchHook | undefined
  readonly access: AccessHook | undefined
  /** How long a hook may take for one request, in milliseconds. */
  readonly queueTimeout: number
  readonly clock: Clock
}

/** Answers of hooks waited for at once: each holds a request's head. */
const MOST_OPEN = 1024

/** Asks the operator's hooks about a request; each answer has a deadline, and only so many are waited for. */
export class Hooks {
  readonly #settings: HookSettings
  #open = 0

  constructor(settings: HookSettings) {
    this.#settings = settings
  }

  /** Undefined where nothing is to change. Rejects with ERR_HOOK_FAILED, ERR_QUEUE_TIMEOUT or ERR_QUEUE_FULL. */
  async dispatch(view: RequestView): Promise<Dispatch | undefined> {
    const { dispatch } = this.#settings
    const answer = dispatch === undefined ? undefined : await this.#ask('dispatch', dispatch, view)
    if (answer === undefined) return undefined
    if (!isObject(answer)) throw failed('dispatch', `gave ${showValue(answer)}; return an object or nothing`)
    // A misspelt name would send the request elsewhere without a word.
    const unknown = Object.keys(answer).find((key) => !DISPATCH_KEYS.includes(key))
    if (unknown === undefined) return answer
    throw failed('dispatch', `gave the unknown ${showValue(unknown)}${suggestion(unknown, DISPATCH_KEYS)}`)
  }

  /** Resolves for a request that may go on. Rejects with ERR_ACCESS_DENIED, or as `dispatch` does. */
  async admit(view: RequestView): Promise<void> {
    const { access } = this.#settings
    const answer = access === undefined ? true : await this.#ask('access', access, view)
    if (answer === true) return
    if (answer === false) throw new TenantryError('ERR_ACCESS_DENIED', `The access hook denied ${view.host}`)
    if (Number.isInteger(answer) && answer >= 400 && answer <= 499) {
      const message = `The access hook denied ${view.host} with ${answer}`
      throw new TenantryError('ERR_ACCESS_DENIED', message, { status: answer })
    }
    // A hook that forgets its return must not let everybody in.
    throw failed('access', `gave ${showValue(answer)}; return true, false or a status from 400 to 499`)
  }

  async #ask<T>(
    name: string, hook: (view: RequestView, signal: AbortSignal) => Awaitable<T>, view: RequestView,
  ): Promise<T> {
    if (this.#open >= MOST_OPEN) {
      const message = `${MOST_OPEN} requests wait for a hook already`
      throw new TenantryError('ERR_QUEUE_FULL', message, { retryAfter: 1 })
    }
    const abort = new AbortController()
    this.#open++
    try {
      const answer = hook(view, abort.signal)
      return isThenable(answer) ? await this.#within(name, answer, abort) : answer
    } catch (error) {
      if (error === abort.signal.reason) throw error
      throw failed(name, `failed: ${error instanceof Error ? error.message : showValue(error)}`, error)
    } finally {
      this.#open--
    }
  }

  #within<T>(name: string, answer: PromiseLike<T>, abort: AbortController): Promise<T> {
    const { clock, queueTimeout } = this.#settings
    return new Promise((resolve, reject) => {
      const stop = clock.after(queueTimeout, () => {
        const message = `The ${name} hook did not answer within queueTimeout (${queueTimeout} ms)`
        const error = new TenantryError('ERR_QUEUE_TIMEOUT', message)
        reject(error)
        abort.abort(error)
      })
      Promise.resolve(answer).then(resolve, reject).finally(stop)
    })
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** A promise of whatever library. */
function isThenable<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return isObject(value) && typeof (value as { readonly then?: unknown }).then === 'function'
}

export function viewOf({ method, url, rawHeaders }: RequestFacts, host: string, client: ClientFacts): RequestView {
  const { clientAddress, encrypted } = client
  return Object.freeze({ method, url, host, headers: headersOf(rawHeaders), clientAddress, encrypted })
}

/** Without a prototype: a field may have any name. */
function headersOf(rawHeaders: readonly string[]): Readonly<Record<string, string>> {
  const headers = Object.create(null) as Record<string, string>
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] as string).toLowerCase()
    const value = rawHeaders[index + 1] as string
    const before = headers[name]
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`
  }
  return Object.freeze(headers)
}

function failed(name: string, what: string, cause?: unknown): TenantryError {
  const message = `The ${name} hook ${what}`
  return new TenantryError('ERR_HOOK_FAILED', message, cause === undefined ? {} : { cause })
}
