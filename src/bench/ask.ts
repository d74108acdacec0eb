import { createHash } from 'node:crypto'
import http from 'node:http'
import { TenantryError } from '../errors.ts'
import type { Contender } from './contenders.ts'

/** One request, as every contender gets it. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly host: string
  /** Beside Host and what a body needs. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array | undefined
}

/** What an answer says, and how long it took. */
export interface Answer {
  readonly status: number
  readonly bytes: number
  /** Of the body. */
  readonly digest: string
  /** The beginning of the body, for a message. */
  readonly text: string
  /** From the connection's first byte to the answer's last one. */
  readonly milliseconds: number
}

/** Milliseconds that one answer may take. */
const LONGEST = 60_000

/** The request as bytes, the same for every contender. */
export function requestBytes({ method, path, host, headers, body }: Asked): Buffer {
  const given = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${given}${length}\r\n`, 'latin1'), body ?? Buffer.alloc(0)])
}

/**
 * Asks once, on a connection of its own.
 * @throws TenantryError ERR_BENCH when no answer comes, and whatever `signal` is aborted with
 */
export async function ask(port: number, asked: Asked, contender: Contender, signal: AbortSignal): Promise<Answer> {
  const { method, path, host, headers, body } = asked
  const fields = [['Host', host], ...headers, ...(body === undefined ? [] : [['Content-Length', String(body.length)]])]
  const started = performance.now()
  return await new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      reject(signal.aborted ? signal.reason as Error
        : new TenantryError('ERR_BENCH', `${method} ${path} of ${contender.name} got no answer: ${error.message}`))
    }
    const options = { host: '127.0.0.1', port, method, path, headers: fields.flat(), agent: false, signal, timeout: LONGEST }
    const request = http.request(options, (response) => {
      const hash = createHash('sha256')
      let [bytes, text] = [0, '']
      response.on('data', (chunk: Buffer) => {
        hash.update(chunk)
        bytes += chunk.length
        if (text.length < 200) text += chunk.toString('utf8').slice(0, 200)
      })
      response.on('error', onError)
      response.on('end', () => resolve({
        status: response.statusCode ?? 0,
        bytes,
        digest: hash.digest('base64url'),
        text,
        milliseconds: performance.now() - started,
      }))
    })
    request.on('error', onError)
    request.on('timeout', () => request.destroy(new Error(`none within ${LONGEST / 1000} s`)))
    request.end(body)
  })
}

/** What the answers of two contenders differ in, in one line; undefined: nothing. */
export function difference(asked: Asked, bare: Answer, other: Answer, name: string): string | undefined {
  const what = `${asked.method} ${asked.path}: ${name} answers`
  if (bare.status !== other.status) return `${what} with ${other.status} and node:http with ${bare.status}: ${JSON.stringify(other.text.slice(0, 120))}`
  if (bare.digest === other.digest) return undefined
  return bare.bytes === other.bytes ? `${what} with another body than node:http, also of ${bare.bytes} bytes`
    : `${what} with ${other.bytes} bytes and node:http with ${bare.bytes}`
}
