import { readFacts } from '../label/head.ts'
import { forwardedFacts } from '../label/trust.ts'
import type { RequestFacts } from '../label/request-facts.ts'
import type { ClientFacts, Trust } from '../label/trust.ts'
import type { RequestSource } from './passage.ts'

/** Who asks: the socket's own facts, or what trusted proxies say in their place. */
export function clientOf({ socket, rawHeaders }: RequestSource, trust: Trust): ClientFacts {
  const { remoteAddress = '', remotePort, encrypted } = socket
  return trust({ clientAddress: remoteAddress, clientPort: remotePort, encrypted: encrypted === true }, rawHeaders)
}

/** What is asked for. Throws ERR_HOST_INVALID. */
export function factsOf(req: RequestSource, client: ClientFacts): RequestFacts {
  const { socket } = req
  const encrypted = socket.encrypted === true
  const facts = readFacts({
    method: req.method as string,
    url: req.url as string,
    rawHeaders: req.rawHeaders,
    httpVersionMajor: req.httpVersionMajor,
    httpVersionMinor: req.httpVersionMinor,
    // A Unix socket has no port: it counts as the scheme's own.
    acceptingPort: socket.localPort ?? (encrypted ? 443 : 80),
    encrypted,
    authority: req.httpVersionMajor === 2 ? req.authority : undefined,
  })
  return forwardedFacts(facts, client)
}
