/** Where a reader is in an answer. */
type Place = 'head' | 'length' | 'close' | 'size' | 'chunk' | 'after' | 'trailers' | 'done'

const END_OF_HEAD = Buffer.from('\r\n\r\n')
const CR_LF = Buffer.from('\r\n')
const NOTHING = Buffer.alloc(0)

/** A head or a line longer than this is no HTTP. */
const MAX_TEXT = 256 * 1024

/**
 * Reads the answers of one connection, one after the other, and keeps nothing of them: a load generator wants to know
 * when an answer is complete, and costs a fraction of http.request() that way.
 */
export class AnswerReader {
  /** Of the answer that is read now. */
  status = 0
  /** The server ends the connection with this answer. */
  lastOnConnection = false
  #place: Place = 'done'
  #noBody = false
  #rest = 0
  #kept: Buffer = NOTHING

  /** Before each request. `head`: its answer has no body, whatever its head says. */
  expect(head: boolean): void {
    this.#place = 'head'
    this.#noBody = head
    this.#kept = NOTHING
    this.status = 0
  }

  /**
   * Takes what came; true: the answer is complete. Does not keep `bytes`.
   * @throws Error when this is no HTTP/1.1, or more than an answer
   */
  read(bytes: Buffer): boolean {
    let at = 0
    while (at < bytes.length) {
      if (this.#place === 'done') throw new Error('the server sent more than its answer')
      at = this.#step(bytes, at)
    }
    return this.#place === 'done'
  }

  /** The connection was closed; true: that completes the answer. */
  end(): boolean {
    if (this.#place !== 'close') return false
    this.#place = 'done'
    return true
  }

  #step(bytes: Buffer, at: number): number {
    switch (this.#place) {
      case 'head': {
        const head = this.#text(bytes, at, END_OF_HEAD)
        if (head !== undefined) this.#onHead(head.text)
        return head?.next ?? bytes.length
      }
      case 'length':
        return this.#skip(bytes, at, 'done')
      case 'chunk':
        return this.#skip(bytes, at, 'after')
      case 'size': {
        const line = this.#text(bytes, at, CR_LF)
        if (line !== undefined) this.#onSize(line.text)
        return line?.next ?? bytes.length
      }
      case 'after': {
        const line = this.#text(bytes, at, CR_LF)
        if (line !== undefined) this.#place = 'size'
        return line?.next ?? bytes.length
      }
      case 'trailers': {
        const line = this.#text(bytes, at, CR_LF)
        if (line?.text === '') this.#place = 'done'
        return line?.next ?? bytes.length
      }
      // To the connection's end.
      case 'close':
      case 'done':
        return bytes.length
    }
  }

  #skip(bytes: Buffer, at: number, next: Place): number {
    const taken = Math.min(this.#rest, bytes.length - at)
    this.#rest -= taken
    if (this.#rest === 0) this.#place = next
    return at + taken
  }

  /** Text up to a mark, which may come in several pieces. */
  #text(bytes: Buffer, at: number, mark: Buffer): { readonly text: string; readonly next: number } | undefined {
    const kept = this.#kept
    const whole = kept.length === 0 ? bytes : Buffer.concat([kept, bytes.subarray(at)])
    const from = kept.length === 0 ? at : 0
    const end = whole.indexOf(mark, from)
    if (end === -1) {
      if (whole.length - from > MAX_TEXT) throw new Error('the server sent a head without an end')
      this.#kept = Buffer.from(whole.subarray(from))
      return undefined
    }
    this.#kept = NOTHING
    return { text: whole.toString('latin1', from, end), next: end + mark.length - kept.length + (at - from) }
  }

  #onHead(head: string): void {
    if (!/^HTTP\/1\.[01] \d{3}/.test(head)) throw new Error('the server sent no HTTP/1.1')
    this.status = Number(head.slice(9, 12))
    if (this.status === 101) throw new Error('the server answered with an upgrade')
    // A 1xx head: the answer's own follows.
    if (this.status < 200) return
    this.lastOnConnection = head.startsWith('HTTP/1.0') || /\r\nconnection:[^\r]*\bclose\b/i.test(head)
    if (this.#noBody || this.status === 204 || this.status === 304) {
      this.#place = 'done'
      return
    }
    if (/\r\ntransfer-encoding:[^\r]*\bchunked\b/i.test(head)) {
      this.#place = 'size'
      return
    }
    const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(head)?.[1]
    this.#rest = Number(length ?? 0)
    if (length === undefined) this.lastOnConnection = true
    this.#place = length === undefined ? 'close' : this.#rest === 0 ? 'done' : 'length'
  }

  #onSize(line: string): void {
    if (!/^[0-9a-f]{1,12}[ \t]*(;|$)/i.test(line)) throw new Error('the server sent a broken chunk')
    this.#rest = Number.parseInt(line, 16)
    this.#place = this.#rest === 0 ? 'trailers' : 'chunk'
  }
}
