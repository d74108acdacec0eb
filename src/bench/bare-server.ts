/**
 * The main module of the bare server: the application behind node:http, in a process of its own, found and called the
 * way a context finds and calls it. Says its port on descriptor 3, and ends when that closes.
 */
import net from 'node:net'
import { Lifecycle } from '../tenant/lifecycle.ts'
import { loadApplications } from '../tenant/load.ts'
import type { AddressInfo } from 'node:net'
import type { LoadRequest } from '../wire/frames.ts'

const request = JSON.parse(process.argv[2] as string) as LoadRequest

const control = new net.Socket({ fd: 3 })
control.on('error', () => {})
// Whoever measures is gone: nobody else would end this process.
control.on('close', () => process.kill(process.pid, 'SIGKILL'))
control.resume()
// A program that neither exports nor listens ends, as under `node`.
control.unref()

const [application] = await loadApplications(request, new Lifecycle())

// The application's own server may think that it listens already, on no port: it is handed connections, as node:http
// documents, and listens nowhere. A connection costs one event more, a request nothing.
const front = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => application?.server?.emit('connection', socket))
front.listen(0, '127.0.0.1', () => control.write(`${(front.address() as AddressInfo).port}\n`))
