import { X509Certificate } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import tls from 'node:tls'
import { TenantryError } from '../errors.ts'
import { isPem } from '../group/certificate-source.ts'
import type { ResolvedCertificate } from '../group/certificate-source.ts'

/** A chain of four with large keys has 10 kb; what is larger is another file. */
const MAX_PEM = 256 * 1024

/** A certificate and its key as they were read. */
export interface LoadedCertificate {
  readonly cert: string
  readonly key: string
  readonly context: tls.SecureContext
  /** The first of the chain: the server's own. */
  readonly leaf: X509Certificate
}

/**
 * Reads the files and sees that they belong together, as a handshake would.
 * @throws TenantryError ERR_CONFIG, naming the file and never showing what is in it
 */
export async function loadCertificate(source: ResolvedCertificate): Promise<LoadedCertificate> {
  const [cert, key] = await Promise.all([readPem(source.cert), readPem(source.key)])
  const where = isPem(source.cert) ? 'the certificate' : `the certificate '${source.cert}'`
  try {
    return { cert, key, context: tls.createSecureContext({ cert, key }), leaf: new X509Certificate(cert) }
  } catch (cause) {
    throw new TenantryError('ERR_CONFIG', `${where} cannot be used with its key: ${reasonOf(cause)}`, { cause })
  }
}

/** Changes when one of the files does; also says that one is missing. Never rejects. */
export async function stampOf({ cert, key }: ResolvedCertificate): Promise<string> {
  const stamps = await Promise.all([cert, key].map(async (file) => {
    if (isPem(file)) return ''
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(file)
      return `${mtimeMs}:${ctimeMs}:${size}:${ino}`
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unreadable'
    }
  }))
  return stamps.join(' ')
}

/** Why a client would not trust it for this host, if any, whoever signed it; undefined where it may. */
export function complaintAbout({ leaf }: LoadedCertificate, host: string | undefined, now: number): string | undefined {
  const [from, to] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)]
  if (now >= to) return `its certificate expired on ${leaf.validTo}`
  if (now < from) return `its certificate is not valid before ${leaf.validFrom}`
  if (host === undefined) return undefined
  // An address stands in brackets where it is a host.
  const covers = /^[\d.]+$|^\[/.test(host) ? leaf.checkIP(host.replace(/[[\]]/g, '')) : leaf.checkHost(host)
  return covers === undefined ? `its certificate is for ${leaf.subjectAltName ?? leaf.subject}, and not for ${host}` : undefined
}

async function readPem(text: string): Promise<string> {
  if (isPem(text)) return text
  try {
    // Looked at before it is opened: opening a FIFO would keep a thread of the pool for ever.
    const { size } = await stat(text).then(onlyFile)
    if (size > MAX_PEM) throw new Error(`it is larger than ${MAX_PEM} bytes`)
    const file = await open(text)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_PEM), 0, MAX_PEM, 0)
      return buffer.toString('latin1', 0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw new TenantryError('ERR_CONFIG', `'${text}' cannot be read: ${reasonOf(cause)}`, { cause })
  }
}

function onlyFile<T extends { isFile(): boolean }>(found: T): T {
  if (!found.isFile()) throw new Error('it is no file')
  return found
}

/** OpenSSL's last part says what is wrong; what stands before it are numbers. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown'
  const { code, reason } = cause as Error & { readonly code?: string; readonly reason?: string }
  if (reason === 'no start line') return 'one of them is no PEM'
  return reason ?? (code?.startsWith('E') === true && !code.startsWith('ERR_') ? code : cause.message)
}
