import { TenantryError } from '../errors.ts'

/** How a request's body is announced, read from its raw headers without building the header object. */
export interface BodyFacts {
  readonly hasBody: boolean
  /** undefined when it is chunked. */
  readonly length: number | undefined
}

/** One pass over the raw headers; nothing is allocated for a request without a body. */
export function readBodyFacts(rawHeaders: readonly string[]): BodyFacts {
  let length: number | undefined
  let chunked = false
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 14 && name.toLowerCase() === 'content-length') length = Number(rawHeaders[at + 1])
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') chunked = true
  }
  if (!chunked && (length === undefined || length === 0)) return NO_BODY
  return { hasBody: true, length: chunked ? undefined : length }
}

const NO_BODY: BodyFacts = { hasBody: false, length: undefined }

export function bodyTooLarge(bodyLimit: number, label: string): TenantryError {
  return new TenantryError('ERR_BODY_TOO_LARGE', `The request body is larger than bodyLimit (${bodyLimit} bytes)`, { label })
}

export function bodyConsumed(label: string): TenantryError {
  const message =
    `The body of a request for '${label}' was read before it reached Tenantry: mount runtime.handler before body parsers`
  return new TenantryError('ERR_BODY_CONSUMED', message, { label })
}
