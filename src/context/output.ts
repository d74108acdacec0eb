import { StringDecoder } from 'node:string_decoder'
import type { Readable } from 'node:stream'
import type { Worker } from 'node:worker_threads'

/** The longest line of a tenant's output that is kept whole; the rest becomes the next line. */
export const MAX_LINE: number = 8 * 1024

/**
 * Takes a thread's stdout and stderr away from the process's own (Node pipes
 * them there unless told otherwise, and Tinypool does not tell) and hands them
 * on line by line. Reading goes on without a listener, since a thread whose
 * output nobody reads fills its own memory.
 */
export function readLines(thread: Worker, onLine: (stream: 'stdout' | 'stderr', line: string) => void): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = thread[name]
    stream.unpipe()
    splitLines(stream, (line) => onLine(name, line))
    // unpipe() has paused it for good: a 'data' listener alone would hear nothing.
    stream.resume()
  }
}

/** Hands a stream on line by line; reading never stops. */
export function splitLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const take = (text: string): void => {
    rest += text
    for (;;) {
      const end = rest.indexOf('\n')
      if (end === -1 && rest.length <= MAX_LINE) return
      const size = end === -1 || end > MAX_LINE ? MAX_LINE : end
      onLine(rest.slice(0, size).replace(/\r$/, ''))
      rest = rest.slice(size === end ? size + 1 : size)
    }
  }
  stream.on('data', (chunk: Buffer) => take(decoder.write(chunk)))
  stream.once('end', () => {
    take(decoder.end())
    if (rest !== '') onLine(rest)
    rest = ''
  })
}
