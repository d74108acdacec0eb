import type http from 'node:http'
import type net from 'node:net'

/**
 * The undocumented parts of node:http that a context uses, in one place.
 * They are what `node:http`'s own server uses between its parser and its
 * messages, unchanged from Node 20 to 26; test/tenant/node-internals.test.ts
 * fails on a Node where one is missing.
 */
export interface ResponseInternals extends http.ServerResponse {
  socket: net.Socket | null
  _header: string | null
  _headerSent: boolean
  _hasBody: boolean
  _contentLength?: number | null
  _last: boolean
  _closed: boolean
  _trailer: string
  _keepAliveTimeout: number
  _maxRequestsPerSocket?: number
  maxRequestsOnConnectionReached: boolean
  _expect_continue: boolean
  _sent100: boolean
  outputSize: number
  destroyed: boolean
  chunkedEncoding: boolean
  _storeHeader(firstLine: string, headers: unknown): void
  _send(data: string | Uint8Array, encoding?: unknown, callback?: unknown, byteLength?: number): boolean
  _writeRaw(data: string | Uint8Array, encoding?: unknown, callback?: unknown, byteLength?: number): boolean
  _finish(): void
}

export interface RequestInternals extends http.IncomingMessage {
  _consuming: boolean
  _addHeaderLines(headers: readonly string[], count: number): void
  _dump(): void
  upgrade: boolean | null
  _eventsCount: number
  _readableState: {
    readingMore: boolean
    resumeScheduled: boolean
    ended: boolean
    endEmitted: boolean
    destroyed: boolean
    closed: boolean
    closeEmitted: boolean
  }
}

export interface SocketInternals extends net.Socket {
  _httpMessage: http.ServerResponse | null
}

/**
 * Not by `import`: that reads every export at once, and behind some Node 22 and later keep undici (15 ms of a start) and
 * `fs.promises` (0.6 MB); behind those of node:process, its streams.
 */
export const nodeHttp = process.getBuiltinModule('node:http')
export const nodeFs = process.getBuiltinModule('node:fs')

const proto = nodeHttp.ServerResponse.prototype as unknown as ResponseInternals
/** The originals, called on objects whose prototype a framework may have replaced. */
export const originalStoreHeader: ResponseInternals['_storeHeader'] = proto._storeHeader
export const originalWriteRaw: ResponseInternals['_writeRaw'] = proto._writeRaw
export const originalFinish: ResponseInternals['_finish'] = proto._finish

/** The private symbol behind `writableNeedDrain`; 'drain' is emitted only where it is set, as node:http does. */
export const kNeedDrain: symbol | undefined = (() => {
  const probe = new nodeHttp.ServerResponse(new nodeHttp.IncomingMessage(undefined as unknown as net.Socket))
  return Object.getOwnPropertySymbols(probe).find((symbol) => symbol.description === 'kNeedDrain')
})()

/** The listener that http.Server itself puts on 'connection': it would start a parser on a socket that has no bytes. */
export const builtInConnectionListener: unknown = (nodeHttp as unknown as { _connectionListener?: unknown })
  ._connectionListener

/** node:http's error for a client that left. */
export function connectionReset(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
}
