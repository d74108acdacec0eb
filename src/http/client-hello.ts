/** What the first message of a TLS client says in the clear. */
export interface ClientHello {
  /** RFC 6066 §3; as it was sent, printable ASCII of at most 255 characters, and not checked as a host. */
  readonly serverName: string | undefined
  /** RFC 7301, in the client's order; empty where it offers none. */
  readonly protocols: readonly string[]
}

/** RFC 8446 §5.1: no record is longer, and no honest client's first message needs more than one. */
const MAX_RECORD = 2 ** 14

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
const ALPN = 16

/** The record's header: its type, a version that says nothing, its length. */
const HEADER = 5

/**
 * Reads the ClientHello (RFC 8446 §4.1.2) at the start of a connection: strict, bounded, without a copy. 'partial' where
 * the bytes so far may become one; undefined for whatever is unusual, such as one that is cut into several records, which
 * only a whole TLS implementation should judge. Bytes that follow it are not looked at. Never throws.
 */
export function readClientHello(bytes: Uint8Array): ClientHello | 'partial' | undefined {
  const record = new Cursor(bytes, 0, bytes.length)
  if (!startsAsHello(bytes)) return undefined
  if (bytes.length < HEADER) return 'partial'
  record.skip(3)
  const length = record.number(2)
  // The four bytes are those of the message's own header.
  if (length <= 4 || length > MAX_RECORD) return undefined
  if (bytes.length >= HEADER + 4 && new Cursor(bytes, HEADER + 1, HEADER + 4).number(3) !== length - 4) return undefined
  if (record.left < length) return 'partial'
  const message = new Cursor(bytes, HEADER + 4, HEADER + length)
  const hello = readBody(message)
  return message.isWrong ? undefined : hello
}

/** Each byte that is there is what it is in every ClientHello: type, major version, and the message's type. */
function startsAsHello(bytes: Uint8Array): boolean {
  const is = (at: number, value: number): boolean => at >= bytes.length || bytes[at] === value
  return is(0, HANDSHAKE) && is(1, 3) && is(HEADER, CLIENT_HELLO)
}

function readBody(message: Cursor): ClientHello | undefined {
  if (message.number(1) !== 3) return undefined
  // The minor version, and the random bytes.
  message.skip(1 + 32)
  if (message.vector(1).left > 32) return undefined
  const suites = message.vector(2)
  if (suites.left < 2 || suites.left % 2 !== 0 || message.vector(1).left === 0) return undefined
  // Before TLS 1.2 there was nothing behind it.
  if (message.left === 0) return message.isWrong ? undefined : { serverName: undefined, protocols: [] }
  const extensions = message.vector(2)
  if (message.left > 0) return undefined
  return readExtensions(extensions)
}

function readExtensions(extensions: Cursor): ClientHello | undefined {
  let serverName: string | undefined
  let protocols: readonly string[] | undefined
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const data = extensions.vector(2)
    if (type === SERVER_NAME) {
      // RFC 8446 §4.2: none may come twice, and two readers could choose differently.
      if (serverName !== undefined) return undefined
      serverName = readServerName(data)
      if (serverName === undefined) return undefined
    } else if (type === ALPN) {
      if (protocols !== undefined) return undefined
      protocols = readProtocols(data)
      if (protocols === undefined) return undefined
    }
  }
  return extensions.isWrong ? undefined : { serverName, protocols: protocols ?? [] }
}

/** A list by its form; of one name, since no other kind of name was ever defined. */
function readServerName(data: Cursor): string | undefined {
  const list = data.vector(2)
  if (data.left > 0 || list.number(1) !== HOST_NAME) return undefined
  const name = list.vector(2)
  if (list.left > 0 || name.left === 0 || name.left > 255) return undefined
  return name.text()
}

function readProtocols(data: Cursor): readonly string[] | undefined {
  const list = data.vector(2)
  if (data.left > 0 || list.left === 0) return undefined
  const protocols: string[] = []
  while (list.left > 0) {
    const name = list.vector(1)
    // GREASE (RFC 8701) sends bytes that are no text: the name of a protocol that nobody speaks.
    if (name.left === 0) return undefined
    protocols.push(name.text() ?? '')
  }
  return list.isWrong ? undefined : protocols
}

/** Reads numbers and vectors within its bounds; after the first that does not fit it is wrong, and empty. */
class Cursor {
  readonly #bytes: Uint8Array
  readonly #parent: Cursor | undefined
  #at: number
  #end: number
  #isWrong = false

  constructor(bytes: Uint8Array, start: number, end: number, parent?: Cursor) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#parent = parent
  }

  get left(): number {
    return this.#end - this.#at
  }

  get isWrong(): boolean {
    return this.#isWrong
  }

  skip(count: number): void {
    if (count > this.left) this.#fail()
    else this.#at += count
  }

  /** Big-endian, of so many bytes. */
  number(size: number): number {
    const start = this.#at
    this.skip(size)
    if (this.#isWrong) return 0
    let value = 0
    for (let at = start; at < this.#at; at++) value = value * 256 + (this.#bytes[at] as number)
    return value
  }

  /** What follows its own length, which has so many bytes. */
  vector(size: number): Cursor {
    const length = this.number(size)
    const start = this.#at
    this.skip(length)
    return new Cursor(this.#bytes, start, this.#at, this)
  }

  /** What is left, if it is printable ASCII without a space. */
  text(): string | undefined {
    let text = ''
    for (; this.#at < this.#end; this.#at++) {
      const code = this.#bytes[this.#at] as number
      if (code <= 0x20 || code >= 0x7f) return undefined
      text += String.fromCharCode(code)
    }
    return text
  }

  /** Whoever holds it is wrong, too. */
  #fail(): void {
    this.#isWrong = true
    this.#at = this.#end
    if (this.#parent !== undefined) this.#parent.#fail()
  }
}
