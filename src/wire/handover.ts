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
}

/** As it is posted: in this order, `first` an array of its own, of exact size. More may follow in later versions. */
export type HandoverMessage = [id: number, fd: number, first: Uint8Array, hosts: readonly string[]]

/** What the context answers: it has opened the descriptor of that id, and will close it. */
export type TakenMessage = number
