import { Buffer } from 'node:buffer'
import { nodeFs } from './node-internals.ts'

/**
 * Descriptors 1 and 2 are the process's and not the thread's. What writes to them
 * by number, as pino does, writes to the thread's own stdout and stderr instead.
 * Call syncBuiltinESMExports() after it.
 */
export function redirectStandardOutput(): void {
  for (const [name, make] of Object.entries(REPLACEMENTS)) {
    const original = own[name] as Write
    // Named, counted and promisified as the original.
    own[name] = Object.defineProperties(make(original), Object.getOwnPropertyDescriptors(original))
  }
}

type Write = (fd: unknown, data: unknown, ...rest: unknown[]) => unknown

const own = nodeFs as unknown as Record<string, unknown>

const REPLACEMENTS: Readonly<Record<string, (original: Write) => Write>> = {
  writeSync: (original) => (fd, data, ...rest) => {
    const stream = streamOf(fd)
    if (stream === undefined) return original(fd, data, ...rest)
    const bytes = slice(data, rest)
    stream.write(bytes)
    return bytes.byteLength
  },
  writevSync: (original) => (fd, data, ...rest) => {
    const stream = streamOf(fd)
    if (stream === undefined) return original(fd, data, ...rest)
    const bytes = joined(data)
    stream.write(bytes)
    return bytes.byteLength
  },
  write: (original) => (fd, data, ...rest) => {
    const stream = streamOf(fd)
    if (stream === undefined) return original(fd, data, ...rest)
    return writeLater(stream, slice(data, rest), data, rest)
  },
  writev: (original) => (fd, data, ...rest) => {
    const stream = streamOf(fd)
    if (stream === undefined) return original(fd, data, ...rest)
    return writeLater(stream, joined(data), data, rest)
  },
  writeFileSync: writeWhole,
  appendFileSync: writeWhole,
}

function writeWhole(original: Write): Write {
  return (fd, data, ...rest) => {
    const stream = streamOf(fd)
    if (stream === undefined) return original(fd, data, ...rest)
    const options = rest[0] as BufferEncoding | { encoding?: BufferEncoding } | null | undefined
    stream.write(slice(data, [undefined, typeof options === 'string' ? options : options?.encoding]))
    return undefined
  }
}

function streamOf(fd: unknown): NodeJS.WriteStream | undefined {
  if (fd === 1) return process.stdout
  return fd === 2 ? process.stderr : undefined
}

/** The callback hears of it as soon as the front has the bytes: a busy writer is slowed down as by a pipe. */
function writeLater(stream: NodeJS.WriteStream, bytes: Uint8Array, data: unknown, rest: readonly unknown[]): void {
  const callback = rest.at(-1) as (error: Error | null | undefined, written: number, data: unknown) => void
  stream.write(bytes, (error) => callback(error, bytes.byteLength, data))
}

/** The part that is meant: (text, position?, encoding?), or (bytes, offset? or options?, length?). A copy: it may be reused. */
function slice(data: unknown, [at, third]: readonly unknown[]): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, typeof third === 'string' ? (third as BufferEncoding) : 'utf8')
  const { buffer, byteOffset, byteLength } = data as Uint8Array
  const options = typeof at === 'object' && at !== null ? (at as { offset?: number; length?: number }) : undefined
  const offset = options?.offset ?? (typeof at === 'number' ? at : 0)
  const length = options?.length ?? (typeof third === 'number' ? third : byteLength - offset)
  return Buffer.from(Buffer.from(buffer, byteOffset + offset, length))
}

function joined(data: unknown): Uint8Array {
  return Buffer.concat((data as Uint8Array[]).map((piece) => slice(piece, [])))
}
