import { parseAuthority } from '../label/host.ts'
import { readClientHello } from './client-hello.ts'
import type net from 'node:net'
import type { HandedCertificate } from '../wire/handover.ts'
import type { KeptCertificate } from './certificates.ts'
import type { PeerSocket } from './connections.ts'
import type { FirstHead } from './first-bytes.ts'
import type { Lanes } from './lane.ts'
import type { RelayReason } from './lane-choice.ts'
import type { Opening } from './opening.ts'
import type { CertificateHouse } from './secure-server.ts'
import type { TlsSettings } from './tls-options.ts'

/** A chain of four with large keys has a third of it; more is not copied for each connection. Characters. */
const MAX_HANDED = 32_768

/**
 * Reads where a client that speaks TLS is going: by the server name, where its
 * tenant has a certificate of its own. The server's own key leads to many
 * tenants, so it never leaves the front.
 */
export class HelloReader {
  readonly #settings: TlsSettings
  readonly #house: CertificateHouse
  readonly #lanes: Lanes

  constructor(settings: TlsSettings, house: CertificateHouse, lanes: Lanes) {
    this.#settings = settings
    this.#house = house
    this.#lanes = lanes
  }

  readonly read = (socket: net.Socket, bytes: Buffer): RelayReason | 'partial' | Promise<Opening> => {
    const hello = readClientHello(bytes)
    if (hello === 'partial') return hello
    if (hello?.serverName === undefined) return 'hello'
    const authority = parseAuthority(hello.serverName)
    const host = authority?.port === undefined ? authority?.host : undefined
    // A context serves node:http's own objects, and HTTP/2 has others.
    if (this.#settings.http2 && hello.protocols.includes('h2')) {
      if (host !== undefined) void this.#lanes.warm(peerOf(socket), headFor(host))
      return 'http2'
    }
    return host === undefined ? 'hello' : this.#open(socket, host)
  }

  async #open(socket: net.Socket, host: string): Promise<Opening> {
    // Whatever is wrong with the name is said by the server that answers it.
    try {
      const tenant = (await this.#house.tenantOf(host))?.tenant
      if (tenant?.tls === undefined) {
        await this.#lanes.warm(peerOf(socket), headFor(host))
        return 'certificate'
      }
      const certificate = await this.#house.certificates.get(tenant.tls)
      if (certificate.cert.length + certificate.key.length > MAX_HANDED) return 'certificate'
      const url = `${tenant.mounts[0]?.path ?? ''}/`
      const withPort = `${host}:${socket.localPort}`
      const peer = peerOf(socket)
      const target = await this.#lanes.choose(peer, headFor(host, url))
      if (typeof target === 'string') return target
      // A label may look at the port that the client will write.
      const other = await this.#lanes.choose(peer, headFor(withPort, url))
      if (typeof other === 'string' || target.key !== other.key || target.processGroup !== other.processGroup) return 'label'
      return { target, hosts: [host, withPort], certificate: this.#handed(certificate) }
    } catch {
      return 'refused'
    }
  }

  #handed({ id, cert, key, ticketKeys }: KeptCertificate): HandedCertificate {
    return { id, cert, key, ticketKeys, minVersion: this.#settings.minVersion }
  }
}

/** What its requests will see of the client. */
function peerOf({ remoteAddress, remotePort, localPort }: net.Socket): PeerSocket {
  return { remoteAddress, remotePort, localPort, encrypted: true }
}

/** The head that a client will send, as far as its server name says. */
function headFor(host: string, url = '/'): FirstHead {
  return { method: 'GET', url, rawHeaders: ['Host', host], host }
}
