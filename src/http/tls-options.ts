import { TenantryError } from '../errors.ts'
import { resolveCertificate } from '../group/certificate-source.ts'
import { suggestion } from '../nearest.ts'
import { showValue } from '../units.ts'
import type { CertificateSource, ResolvedCertificate } from '../group/certificate-source.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

/** TLS of a server that Tenantry owns. Tenants' own certificates (`tls` of a tenant) come before the one here. */
export interface ListenTls extends Partial<CertificateSource> {
  /** Whether HTTP/2 is offered beside HTTP/1.1; default true. */
  readonly http2?: boolean
  /** The oldest version that is spoken; default 'TLSv1.2', since everything older is broken (RFC 8996). */
  readonly minVersion?: (typeof VERSIONS)[number]
}

/** The same, checked. */
export interface TlsSettings {
  /** For names that have none of their own; undefined where such clients are refused. */
  readonly standard: ResolvedCertificate | undefined
  readonly http2: boolean
  readonly minVersion: (typeof VERSIONS)[number]
}

const KEYS = ['cert', 'key', 'http2', 'minVersion'] as const satisfies readonly (keyof ListenTls)[]

/** @throws TenantryError ERR_OPTION_INVALID */
export function resolveTls(given: ListenTls): TlsSettings {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw wrong(`tls is ${showValue(given)}; write { cert, key }, or {} for the tenants' own certificates alone`)
  }
  const unknown = Object.keys(given).find((key) => !(KEYS as readonly string[]).includes(key))
  if (unknown !== undefined) throw wrong(`tls has the unknown setting ${showValue(unknown)}${suggestion(unknown, KEYS)}`)
  const { cert, key, http2 = true, minVersion = 'TLSv1.2' } = given
  if (typeof http2 !== 'boolean') throw wrong(`tls.http2 is ${showValue(http2)}; write true or false`)
  if (!VERSIONS.includes(minVersion)) throw wrong(`tls.minVersion is ${showValue(minVersion)}; write ${VERSIONS.join(' or ')}`)
  const hasNone = cert === undefined && key === undefined
  return { standard: hasNone ? undefined : resolveCertificate('tls', { cert, key }, process.cwd()), http2, minVersion }
}

function wrong(message: string): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', message)
}
