/**
 * A client's connection on its way into a context. It travels over the
 * handover port: a MessagePort between a context and the main thread of its
 * process, which is the front or a daemon.
 */
export interface HandedConnection {
  /** Unique among what its process hands to this context; from 1. */
  readonly id: number
  /** A descriptor of the connection that belongs to nobody else: the context's from the moment it has opened it. */
  readonly fd: number
  /** What was read of the connection already. */
  readonly first: Uint8Array
  /** Host fields, as clients write them, that lead to this context's group on this connection. */
  readonly hosts: readonly string[]
  /** With it the client speaks TLS, and nothing of the handshake has been done. */
  readonly certificate?: HandedCertificate | undefined
}

/**
 * A certificate of the context's own tenant. It crosses with each connection: 3 kb, beside a handshake of a millisecond,
 * and so a new one is in use with the next connection, and nobody keeps a list of what the other side has.
 */
export interface HandedCertificate {
  /** Unique in the front; another certificate has another one. */
  readonly id: number
  /** PEM, with its chain. */
  readonly cert: string
  readonly key: string
  /** Of the tenant alone: sessions may be resumed in any of its contexts. 48 bytes, in base64. */
  readonly ticketKeys: string
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

/** As it is posted: in this order, `first` an array of its own, of exact size. More may follow in later versions. */
export type HandoverMessage = [id: number, fd: number, first: Uint8Array, hosts: readonly string[], certificate?: HandedCertificate]

/** What the context answers: it has opened the descriptor of that id, and will close it. */
export type TakenMessage = number
