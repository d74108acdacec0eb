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

/**
 * Lines that are handed on in one turn of the loop. A tenant can write a million empty ones at once, and each costs its
 * listeners a microsecond or two: the rest waits for the next turn, and the stream with it.
 */
const LINES_A_TURN = 1000

/** Hands a stream on line by line. */
export function splitLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let ended = false
  let waits = false
  const take = (): void => {
    for (let lines = 0; lines < LINES_A_TURN; lines++) {
      const end = rest.indexOf('\n')
      if (end === -1 && rest.length <= MAX_LINE) {
        if (ended && rest !== '') onLine(rest)
        if (ended) rest = ''
        return
      }
      const size = end === -1 || end > MAX_LINE ? MAX_LINE : end
      onLine(rest.slice(0, size).replace(/\r$/, ''))
      rest = rest.slice(size === end ? size + 1 : size)
    }
    if (waits) return
    waits = true
    stream.pause()
    setImmediate(() => {
      waits = false
      stream.resume()
      take()
    })
  }
  stream.on('data', (chunk: Buffer) => {
    rest += decoder.write(chunk)
    if (!waits) take()
  })
  stream.once('end', () => {
    rest += decoder.end()
    ended = true
    if (!waits) take()
  })
}
