import { TenantryError } from '../errors.ts'

const SLASH = 47

/**
 * What a context's own server has to know of a request's head. One reader for
 * all of them, read anew for each: nothing is allocated for a request.
 */
export class HandedHead {
  host: string | undefined
  hasBody = false
  /** Bytes; undefined where the body is chunked. */
  length: number | undefined
  #hosts = 0

  /** One pass; only fields whose name has the right length are looked at more closely. */
  read(rawHeaders: readonly string[]): this {
    this.host = undefined
    this.hasBody = false
    this.length = undefined
    this.#hosts = 0
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] as string
      switch (name.length) {
        case 4:
          if (name !== 'Host' && name.toLowerCase() !== 'host') break
          this.host = rawHeaders[at + 1]
          this.#hosts++
          break
        case 14:
          if (name.toLowerCase() !== 'content-length') break
          this.length = Number(rawHeaders[at + 1])
          this.hasBody ||= this.length > 0
          break
        case 17:
          if (name.toLowerCase() === 'transfer-encoding') this.hasBody = true
          break
      }
    }
    return this
  }

  /**
   * Why the request cannot be served on this connection. Whatever is not quite plain goes to the front, which reads it
   * strictly, by way of the client's next connection: RFC 9110 §15.5.20.
   */
  objection(url: string, connection: { knows(host: string): boolean }, label: string): TenantryError | undefined {
    if (this.#hosts > 1) return new TenantryError('ERR_HOST_INVALID', 'the request has more than one Host header', { label })
    if (this.host !== undefined && url.charCodeAt(0) === SLASH && connection.knows(this.host)) return undefined
    const message = 'A request on a connection that was handed over is for another host than this connection serves'
    return new TenantryError('ERR_MISDIRECTED', message, { label })
  }
}

/** The index of the longest mount that the path of an origin-form target lies in, or -1. They stand longest first. */
export function mountOf(mounts: readonly { readonly path: string }[], url: string): number {
  // The common case, one application at the root, needs no look at the path.
  if (mounts.length === 1 && mounts[0]?.path === '') return 0
  const [query, fragment] = [url.indexOf('?'), url.indexOf('#')]
  const end = Math.min(query === -1 ? url.length : query, fragment === -1 ? url.length : fragment)
  return mounts.findIndex(({ path }) =>
    path.length <= end && url.startsWith(path) && (path.length === 0 || path.length === end || url.charCodeAt(path.length) === SLASH))
}
