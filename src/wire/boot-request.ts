import type { MessagePort } from 'node:worker_threads'

/** Characters of a token: 32 random bytes as base64url. */
export const TOKEN_LENGTH = 43

/** Where a context of another process finds its front. */
export interface FrontAddress {
  /** Of a Unix socket. */
  readonly path: string
  /** Says which context it is; good for one connection. */
  readonly token: string
}

/** What is handed to a new thread. */
export interface BootRequest {
  readonly link: MessagePort | FrontAddress
  readonly scoreboard: SharedArrayBuffer
  /** Where clients' connections come in that are handed over; see handover.ts. Not listened to, it holds them. */
  readonly handover: MessagePort
  /** It waits for a tenant. */
  readonly spare: boolean
  /** Its front can hand connections over. */
  readonly handsOver: boolean
  /** How far this thread stands back for the front; 0 to 19. */
  readonly nice: number
}
