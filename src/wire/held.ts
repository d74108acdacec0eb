/** What a context holds connections to that are handed to it. */
export interface Held {
  readonly requests: RequestLimits
  readonly pace: ConnectionPace
}

/** What a group holds each request to, on whichever lane. Milliseconds and bytes; 0 is off. */
export interface RequestLimits {
  readonly handlerTimeout: number
  readonly bodyLimit: number
  readonly maxInFlight: number
  readonly maxQueue: number
}

/** How slow a client may be on a connection that a context serves itself. Milliseconds, rates in bytes a second; 0 is off. */
export interface ConnectionPace {
  readonly headerTimeout: number
  readonly headerMaxTimeout: number
  readonly headerMinRate: number
  readonly bodyTimeout: number
  readonly bodyMaxTimeout: number
  readonly bodyMinRate: number
  readonly sendTimeout: number
  /** For a slot in the context. */
  readonly queueTimeout: number
}

/** What a context did not serve, or not to the end, on a connection that it has. */
export interface HandedRefusal {
  /** An ErrorCode; the front looks whether it is one. */
  readonly code: string
  readonly message: string
  /** The Host field, or empty. */
  readonly host: string
  /** The address of the client, or empty. */
  readonly peer: string
  /** Empty where no request was read. */
  readonly method: string
  /** The application never saw it; it did, and the client has our answer; the client saw the answer break off. */
  readonly outcome: 'refused' | 'failed' | 'truncated'
}
