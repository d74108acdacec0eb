/**
 * What a label may depend on: plain facts of one request, made once per request
 * from its head and its connection, after the host text was checked.
 */
export interface RequestFacts {
  /** Canonical host (lower case, no trailing dot, IPv6 in brackets, RFC 5952), or undefined for HTTP/1.0 without one. */
  readonly host: string | undefined
  /** The port that the client wrote, if it wrote one. */
  readonly hostPort: number | undefined
  /** The port of the socket that accepted the connection. */
  readonly acceptingPort: number
  /** Method and target as they came: a function label and an access rule may look at them. */
  readonly method: string
  readonly url: string
  /** Raw name, value, name, value …, as Node gives them. */
  readonly rawHeaders: readonly string[]
}

/**
 * The key of a group holds the kind of its label, so that a name made from a
 * request never meets a literal of the same text; `shown` is mod_wsgi's name.
 */
export interface GroupName {
  readonly key: string
  readonly shown: string
}

/** `%{GLOBAL}`, `%{SERVER}`, `%{HOST}`, `%{RESOURCE}`, `%{ENV:NAME}`, a literal, or a function of the facts. */
export type LabelSpec = string | ((facts: RequestFacts) => string)

/** Which port may become a part of a name; see docs/tenants.md for Apache's counterparts. */
export type LabelPort = 'accepting' | 'server' | 'host-or-accepting' | 'host'

export interface LabelSettings {
  /** As configured, case kept, maybe with a port. */
  readonly serverName: string
  readonly labelPort: LabelPort
  /** Request variables for `%{ENV:NAME}`; looked at before the server's environment. */
  readonly requestVariables?: ((facts: RequestFacts) => Readonly<Record<string, string | undefined>>) | undefined
  /** The server's environment for `%{ENV:NAME}`. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export type LabelKind = 'global' | 'server' | 'host' | 'resource' | 'env' | 'literal' | 'function'

/** A checked label: expands without allocating anything that lives. Throws ERR_LABEL_INVALID for a value it refuses. */
export interface Label {
  (facts: RequestFacts, mount: string): GroupName
  readonly kind: LabelKind
  /** Each mount has a group of its own (`%{RESOURCE}`); else one group serves all mounts of a tenant. */
  readonly perMount: boolean
}
