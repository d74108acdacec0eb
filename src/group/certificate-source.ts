import path from 'node:path'
import { TenantryError } from '../errors.ts'
import { suggestion } from '../nearest.ts'
import { showValue } from '../units.ts'

/** A certificate with its chain, and its key, as a user writes them: each a path to a PEM file, or PEM itself. */
export interface CertificateSource {
  /** The certificate first, then the rest of its chain. */
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** The same with absolute paths; its files are read when a client asks for them. Frozen. */
export interface ResolvedCertificate {
  readonly cert: string
  readonly key: string
}

const KEYS = ['cert', 'key'] as const satisfies readonly (keyof CertificateSource)[]

/**
 * @param name what its writer calls it
 * @param base where relative paths start
 * @throws TenantryError ERR_OPTION_INVALID
 */
export function resolveCertificate(name: string, given: unknown, base: string): ResolvedCertificate {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw wrong(`${name} is ${showValue(given)}; write { cert, key }, paths of PEM files or PEM itself`)
  }
  const unknown = Object.keys(given).find((key) => !(KEYS as readonly string[]).includes(key))
  if (unknown !== undefined) throw wrong(`${name} has the unknown setting ${showValue(unknown)}${suggestion(unknown, KEYS)}`)
  const { cert, key } = given as Readonly<Record<string, unknown>>
  return Object.freeze({ cert: readPem(`${name}.cert`, cert, base), key: readPem(`${name}.key`, key, base) })
}

/** PEM has a line that no path has. */
export function isPem(text: string): boolean {
  return text.includes('-----BEGIN ')
}

/** Never shows what it was given: that may be a key. */
function readPem(name: string, value: unknown, base: string): string {
  const text = Buffer.isBuffer(value) ? value.toString('latin1') : value
  if (typeof text === 'string' && isPem(text)) return text
  if (typeof value === 'string' && value !== '' && !/[\0\n]/.test(value)) return path.resolve(base, value)
  const what = value === undefined ? 'missing' : 'neither'
  throw wrong(`${name} is ${what}; write the path of a PEM file, or PEM itself`)
}

function wrong(message: string): TenantryError {
  return new TenantryError('ERR_OPTION_INVALID', message)
}
