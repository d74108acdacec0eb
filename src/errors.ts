/**
 * Every error that Tenantry raises: one class, one table, stable codes.
 *
 * Match on `code`, never on the message. The status is what a client receives;
 * a null status marks an error that only the programmer or operator meets.
 */
const TABLE = {
  ERR_HOST_INVALID: 400,
  ERR_HOST_NOT_ALLOWED: 421,
  ERR_MISDIRECTED: 421,
  ERR_ACCESS_DENIED: 403,
  ERR_TENANT_NOT_FOUND: 404,
  ERR_READ_TIMEOUT: 408,
  ERR_BODY_TOO_LARGE: 413,
  ERR_BODY_CONSUMED: 500,
  ERR_PROCESS_GROUP_MISSING: 500,
  ERR_LABEL_INVALID: 500,
  ERR_HOOK_FAILED: 500,
  ERR_START_FAILED: 500,
  ERR_CONTEXT_EXITED: 502,
  ERR_DAEMON_EXITED: 502,
  ERR_CONTEXT_MEMORY: 502,
  ERR_CONTEXT_CPU: 502,
  ERR_CONTEXT_DEADLOCK: 502,
  ERR_PROTOCOL: 502,
  ERR_GROUP_LIMIT: 503,
  ERR_PATTERN_LIMIT: 503,
  ERR_START_RATE: 503,
  ERR_QUEUE_FULL: 503,
  ERR_GROUP_BACKOFF: 503,
  ERR_DRAINING: 503,
  ERR_START_TIMEOUT: 504,
  ERR_QUEUE_TIMEOUT: 504,
  ERR_HANDLER_TIMEOUT: 504,
  ERR_CLIENT_GONE: null,
  ERR_SEND_TIMEOUT: null,
  ERR_CONNECTION_LIMIT: null,
  ERR_TLS_HANDSHAKE: null,
  ERR_OPTION_INVALID: null,
  ERR_CONFIG: null,
  ERR_STATE: null,
  ERR_BENCH: null,
} as const

export type ErrorCode = keyof typeof TABLE

/** Whether text that came from elsewhere is a code. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(TABLE, text)
}

/** The codes with their HTTP status, in the order of the documentation. */
export const ERROR_STATUS: Readonly<Record<ErrorCode, number | null>> = TABLE

export interface TenantryErrorOptions {
  /** The application group's shown name, where one is known. */
  readonly label?: string | undefined
  /** Seconds a client should wait before it tries again (503). */
  readonly retryAfter?: number | undefined
  /** In place of the code's own: an access hook chooses its 4xx. */
  readonly status?: number | undefined
  readonly cause?: unknown
}

/** The only error class that Tenantry throws, rejects with or answers from. */
export class TenantryError extends Error {
  readonly code: ErrorCode
  /** HTTP status for a client, or null when no client ever meets this code. */
  readonly status: number | null
  readonly label?: string | undefined
  readonly retryAfter?: number | undefined

  constructor(code: ErrorCode, message: string, options: TenantryErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'TenantryError'
    this.code = code
    this.status = options.status ?? TABLE[code]
    if (options.label !== undefined) this.label = options.label
    if (options.retryAfter !== undefined) this.retryAfter = options.retryAfter
  }
}

/** Anything that was thrown, as a TenantryError: itself, or wrapped under `code`. */
export function asTenantryError(thrown: unknown, code: ErrorCode, message: string): TenantryError {
  return thrown instanceof TenantryError ? thrown : new TenantryError(code, message, { cause: thrown })
}
