import type net from 'node:net'
import type { GroupTarget } from '../group/lease.ts'
import type { HandedCertificate } from '../wire/handover.ts'
import type { RelayReason } from './lane-choice.ts'

/** Where all requests of a connection lead, and what its context is told with it. */
export interface Destination {
  readonly target: GroupTarget
  /** Host fields, as clients write them, that lead there. */
  readonly hosts: readonly string[]
  /** Of a client that speaks TLS. */
  readonly certificate?: HandedCertificate | undefined
}

/** What the first bytes of a connection say: where it leads, or why it stays in the front. */
export type Opening = Destination | RelayReason

/** Reads them. 'partial': nothing before more have come. Throws or rejects with the refusal of the first request. */
export type ReadOpening = (socket: net.Socket, bytes: Buffer) => Opening | 'partial' | Promise<Opening>
