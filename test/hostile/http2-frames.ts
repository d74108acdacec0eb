/** HTTP/2 as bytes (RFC 9113 §4.1 and RFC 7541), for what no client library sends. */
export const Type = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 } as const
export const Flag = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.byteLength, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** One setting: its number and value. */
export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)])
}

/** A field that is not indexed, with a name from the static table. At most 126 bytes. */
function indexed(name: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([name, value.length]), Buffer.from(value, 'latin1')])
}

/** The fields of a request of the victim: GET or POST, http. */
export function fields(method: 'GET' | 'POST', path: string): Buffer {
  return Buffer.concat([Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x86]), indexed(4, path), indexed(1, 'victim.test')])
}

/** A field with a name of its own; `remember` puts it into the dynamic table. */
export function field(name: string, value: string, remember = false): Buffer {
  const text = (part: string): Buffer => Buffer.concat([integer(part.length), Buffer.from(part, 'latin1')])
  return Buffer.concat([Buffer.from([remember ? 0x40 : 0]), text(name), text(value)])
}

/** RFC 7541 §5.1, with a prefix of seven bits. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  for (value -= 127; value >= 128; value >>= 7) bytes.push((value & 127) | 128)
  return Buffer.from([...bytes, value])
}

/** The beginning of a connection: preface and settings. */
export function hello(...settings: readonly Buffer[]): Buffer {
  return Buffer.concat([PREFACE, frame(Type.settings, Flag.none, 0, Buffer.concat(settings))])
}
