import type { Held } from './held.ts'

/**
 * The relay's frames. A frame is a run of positional elements, because an object
 * with names costs three times the bytes and twice the time to clone (measured:
 * 75 bytes and 2.1 µs against 270 bytes and 4.2 µs). Frames made in one turn of
 * the event loop leave together, as one batch in one message: one flat array,
 * frame after frame, each as long as its kind says (an array for each frame
 * costs a request another 0.4 µs).
 *
 * docs/architecture.md shows the same tables with the order of events.
 */
export const PROTOCOL_VERSION = 1

/**
 * Bytes that may be under way for one stream in one direction before the receiver has read any. Half of it halves
 * a large download's throughput, twice of it adds a tenth (measured).
 */
export const WINDOW = 512 * 1024

/**
 * As many may be from a stream's start. The rest of a window is lent by the group's pool to streams that use it, so that
 * a thousand answers that nobody reads hold a thousand first windows and not a thousand whole ones.
 */
export const FIRST_WINDOW = 64 * 1024

/**
 * What the smallest piece of an answer costs of its window: frames are work for the front, whatever is in them, and an
 * application that writes byte by byte must not make it thousands in one turn of the loop.
 */
export const LEAST_COST = 512

/** 1xx heads of one answer; further ones are only hints that nobody needs. */
export const MAX_INFOS = 1000

/** The largest body piece in one frame: one socket read of Node's. */
export const MAX_PIECE = 64 * 1024

/** Body text at most this long crosses as a string, which clones faster than bytes do. */
export const MAX_TEXT_PIECE = 16 * 1024

/** The longest response head (characters) that a context may send: Node's own limit for a request head, four times. */
export const MAX_HEAD = 64 * 1024

/** The longest text in an error record. */
export const MAX_ERROR_TEXT = 8 * 1024

/** First element of every frame. */
export const Kind = {
  /** front → context: [LOAD, spec] what to import and serve; once. */
  LOAD: 1,
  /** front → context: [CONNECTION, connection, facts] a client's connection, before the first request on it. */
  CONNECTION: 2,
  /** both ways: [DISCONNECT, connection] the connection is gone, or shall go. */
  DISCONNECT: 3,
  /** front → context: [OPEN, stream, end, connection, method, url, rawHeaders, flags, mount] */
  OPEN: 4,
  /** context → front: [HEAD, stream, end and other bits, first piece | undefined, text] */
  HEAD: 5,
  /** both ways: [DATA, stream, end, piece] */
  DATA: 6,
  /** both ways: [END, stream, trailers] raw trailers from the front, trailer text from the context */
  END: 7,
  /** both ways: [CREDIT, stream, bytes] that many more bytes may be sent. */
  CREDIT: 8,
  /** both ways: [RESET, stream, code] the stream is over, unfinished. */
  RESET: 9,
  /** context → front: [INFO, stream, text] a 1xx head. */
  INFO: 10,
  /** front → context: [DRAIN] no request will follow. */
  DRAIN: 11,
  /** context → front: [HELLO, version] first frame of a context. */
  HELLO: 12,
  /** context → front: [READY, kinds] the application can serve. */
  READY: 13,
  /** context → front: [FAILED, error record] the application could not be loaded. */
  FAILED: 14,
  /** context → front: [REFUSED, code, text, host, peer, method, outcome] what became of a request on a connection that was handed over. */
  REFUSED: 15,
  /** front → context: [MEMORY, buffers] full pieces', to be filled again. */
  MEMORY: 16,
} as const

/** How many elements a frame of each kind has, its kind included; by kind. */
export const FRAME_LENGTH: readonly (number | undefined)[] = [
  undefined, // there is no kind 0
  2, // LOAD
  3, // CONNECTION
  2, // DISCONNECT
  9, // OPEN
  5, // HEAD
  4, // DATA
  3, // END
  3, // CREDIT
  3, // RESET
  3, // INFO
  1, // DRAIN
  2, // HELLO
  2, // READY
  2, // FAILED
  7, // REFUSED
  2, // MEMORY
]

/** The longest text that a REFUSED frame carries in each of its fields. */
export const MAX_REFUSED_TEXT = 512

/** Bits of an OPEN frame's flags. */
export const Flag = {
  HTTP_1_1: 1,
  KEEP_ALIVE: 2,
  UPGRADE: 4,
  EXPECT_CONTINUE: 8,
  /** The front's maxRequestsPerSocket is reached: the answer announces a close. */
  LAST_REQUEST: 16,
} as const

/** Bits of a HEAD frame's `end`. */
export const HeadFlag = {
  END: 1,
  /** The connection closes after the answer, whatever the head says. */
  LAST: 2,
  /** node:http would write this head as UTF-8 and not as latin-1: it depends on what is sent together with it. */
  UTF8: 4,
} as const

export type Piece = string | Uint8Array

/** Frame after frame: only this folder and its callers' tests look inside. */
export type Batch = unknown[]

/** Why a stream was reset; the words cross the wire. */
export type ResetCode = 'unread' | 'client-gone' | 'timeout' | 'body-limit' | 'body-timeout' | 'destroyed' | 'shutdown'

export const RESET_CODES: readonly ResetCode[] = [
  'unread',
  'client-gone',
  'timeout',
  'body-limit',
  'body-timeout',
  'destroyed',
  'shutdown',
]

/** What an application may know of its client's connection. */
export interface ConnectionFacts {
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly remoteFamily: string | undefined
  readonly localAddress: string | undefined
  readonly localPort: number | undefined
  readonly encrypted: boolean
  readonly servername: string | undefined
  readonly alpnProtocol: string | false | undefined
  readonly tlsProtocol: string | undefined
  /** The front server's, which a response advertises in its Keep-Alive field; milliseconds. */
  readonly keepAliveTimeout: number
  /** The front server's, advertised there, too; 0 for none. */
  readonly maxRequestsPerSocket: number
}

/** What to load, as plain data; see ContextSpec for the meaning of each field. */
export interface LoadRequest {
  readonly mounts: readonly { readonly path: string; readonly entry: string }[]
  readonly kind: 'auto' | 'listen' | 'node' | 'fetch'
  readonly preload: readonly string[]
  readonly directory: string
  readonly label: string
  /** undefined: its thread has its own. */
  readonly environment?: Readonly<Record<string, string>> | undefined
  /** undefined: no connection is handed to it. */
  readonly held?: Held | undefined
  /** How long it is idle before it gives memory back, in milliseconds; undefined and 0: never. */
  readonly trimTimeout?: number | undefined
}

/** An error as it crosses: a cloned Error would lose its class and its code. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly code: string | undefined
  readonly stack: string | undefined
}
