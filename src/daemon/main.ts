/**
 * The main module of a daemon: a child process in which application groups live
 * as threads, and `%{GLOBAL}` on its main thread. Descriptor 3 is the control
 * socket; when it closes, the front is gone, and with it every client. On 4 the
 * descriptors of clients' connections come.
 */
import net from 'node:net'
import { DaemonHost } from './host.ts'

new DaemonHost(new net.Socket({ fd: 3, readable: true, writable: true }))
