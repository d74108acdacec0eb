import { TenantryError } from '../errors.ts'
import { cutText, publish } from '../events.ts'
import { parseAuthority } from '../label/host.ts'
import type { ResolvedCertificate } from '../group/certificate-source.ts'
import type { FoundTenant, TenantDirectory } from '../group/tenant.ts'
import type { LoadedCertificate } from './certificate-file.ts'
import type { Certificates } from './certificates.ts'

export type TenantOf = (host: string) => FoundTenant | undefined | Promise<FoundTenant | undefined>

export interface ServerNameSettings {
  readonly certificates: Certificates
  /** The tenant of an allowed host, by what is served now; may throw or reject as the tenant source does. */
  readonly tenantOf: TenantOf
  /** For names that have none of their own, and for clients that name nothing. */
  readonly standard: ResolvedCertificate | undefined
}

/**
 * From the server name that a client asks for (RFC 6066 §3) to a certificate.
 * It decides about nothing else: each request's Host is resolved as ever.
 */
export class ServerNames {
  readonly #settings: ServerNameSettings

  constructor(settings: ServerNameSettings) {
    this.#settings = settings
  }

  /** @throws TenantryError, or rejects with it: ERR_HOST_NOT_ALLOWED where no certificate is for that name */
  find(name: string): LoadedCertificate | Promise<LoadedCertificate> {
    const authority = parseAuthority(name)
    if (authority === undefined || authority.port !== undefined) return this.#standard(name)
    const found = this.#settings.tenantOf(authority.host)
    return found instanceof Promise ? found.then((later) => this.#certificateOf(name, later)) : this.#certificateOf(name, found)
  }

  #certificateOf(name: string, found: FoundTenant | undefined): LoadedCertificate | Promise<LoadedCertificate> {
    const { certificates, standard } = this.#settings
    const own = found?.tenant.tls
    if (own === undefined) return this.#standard(name)
    if (standard === undefined) return certificates.get(own)
    // A broken one has been reported; the default may be a wildcard that covers the name.
    try {
      const loaded = certificates.get(own)
      return loaded instanceof Promise ? loaded.catch(() => this.#standard(name)) : loaded
    } catch {
      return this.#standard(name)
    }
  }

  #standard(name: string): LoadedCertificate | Promise<LoadedCertificate> {
    const { certificates, standard } = this.#settings
    if (standard !== undefined) return certificates.get(standard)
    throw new TenantryError('ERR_HOST_NOT_ALLOWED', `There is no certificate for the server name '${cutText(name)}'`)
  }
}

/** Tenants whose certificates are read before a client asks for one. */
const MAX_AHEAD = 1000

/** Reads the certificates of the tenants that are listed, so that a broken one is reported; never rejects. */
export async function readAhead(certificates: Certificates, directory: TenantDirectory): Promise<void> {
  for (const pattern of directory.patterns()?.slice(0, MAX_AHEAD) ?? []) {
    try {
      const own = (await directory.find(pattern.replace(/^\*\./, 'any.')))?.tenant.tls
      if (own !== undefined) await certificates.get(own)
    } catch {
      // It has been published.
    }
  }
}

/** Why a handshake failed, where it is not the client that left. */
export function publishHandshake(name: string, { code, message }: { readonly code: string; readonly message: string }): void {
  publish('tenantry:admission:refuse', { host: cutText(name), code, message })
}
