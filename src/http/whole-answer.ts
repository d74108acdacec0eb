import http from 'node:http'

/** What node:http keeps of a response between its head and its end; the same names from Node 20 to 26. */
interface OpenResponse extends http.ServerResponse {
  _header: string | null
  _headerSent: boolean
  _hasBody: boolean
  chunkedEncoding: boolean
  finished: boolean
  outputData: readonly unknown[]
  _finish(): void
}

interface BusySocket {
  _httpMessage?: unknown
}

// oxlint-disable-next-line typescript/unbound-method -- compared, never called
const { end } = http.ServerResponse.prototype

/**
 * Ends a response whose head and whole body came together, with one write.
 *
 * `res.end(body)` makes two (the body, and an empty text that carries the
 * callback), which leave as one vectored write; for a small answer that costs
 * 2 µs more than one text does (measured: 22.5 against 20.5 µs for a request).
 * False when the response is not a plain one: then `end` does it.
 */
export function endWhole(res: http.ServerResponse, body: string): boolean {
  const { socket } = res
  const open = res as OpenResponse
  const isPlain =
    res.end === end &&
    socket !== null &&
    (socket as BusySocket)._httpMessage === res &&
    socket.writable &&
    !open.destroyed &&
    open._header !== null &&
    !open._headerSent &&
    open._hasBody &&
    !open.chunkedEncoding &&
    open.outputData.length === 0
  if (!isPlain) return false
  open._headerSent = true
  // In the encoding in which node:http writes a head together with a text.
  socket.write(open._header + body, 'utf8', () => open.emit('finish'))
  open.finished = true
  open._finish()
  return true
}
