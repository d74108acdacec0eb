// Hello world and bodies: what each lane and tier costs beside the same application on node:http.
import { HOST, OTHER_HOST } from '../load.mjs'
import { loadCase } from './load.mjs'

const MEGABYTE = 2 ** 20

const COLUMNS = ['requests', 'cpu', 'p50', 'p99']

const hello = (connections, headers = {}) => ({
  title: `${connections} connection${connections === 1 ? '' : 's'}`,
  connections,
  path: '/',
  headers,
  check: ({ status, text }) => status === 200 && text === 'Hello, World!',
})

const up = (megabytes, connections) => ({
  title: `${megabytes} MB on ${connections} connection${connections === 1 ? '' : 's'}`,
  connections,
  path: '/upload',
  method: 'POST',
  bodyBytes: megabytes * MEGABYTE,
  megabytes: ({ requests }) => requests * megabytes,
  check: ({ status, text }) => status === 200 && text === String(megabytes * MEGABYTE),
})

const down = (megabytes, connections) => ({
  title: `${megabytes} MB on ${connections} connection${connections === 1 ? '' : 's'}`,
  connections,
  path: `/download/${megabytes}`,
  megabytes: ({ bytes }) => bytes / MEGABYTE,
  check: ({ status, bytes }) => status === 200 && bytes === megabytes * MEGABYTE,
})

/** `mode`: see clients/tls.mjs. Two hosts are asked by a thread each, over as many connections each. */
const secure = (title, mode, answers) => ({ title, connections: 32, path: '/', client: 'tls', answers, mode, kind: mode })
const ONE = { [HOST]: 'Hello, World!' }
const TWO = { ...ONE, [OTHER_HOST]: 'Hello, Other!' }

/** Few enough to be fast, and many enough to show what grows with them. */
const USUAL = [hello(32), hello(256)]

export const requestCases = {
  bare: loadCase({
    about: 'The same server twice: what this machine makes of no difference at all.',
    contenders: ['bare', 'bare-again'],
    loads: USUAL,
    columns: COLUMNS,
  }),
  handoff: loadCase({
    about: 'Hello world, keep-alive, in a thread: the connection itself moves to the context.',
    contenders: ['bare', 'handoff'],
    loads: USUAL,
    columns: COLUMNS,
  }),
  relay: loadCase({
    about: 'Hello world, keep-alive, in a thread: frames, behind any server.',
    contenders: ['bare', 'relay'],
    loads: USUAL,
    columns: COLUMNS,
  }),
  process: loadCase({
    about: 'The same in a daemon, as the command runs it: what a process of its own costs on top.',
    contenders: ['bare', 'process-relay', 'process-handoff'],
    loads: [hello(32)],
    columns: COLUMNS,
  }),
  latency: loadCase({
    about: 'One request at a time on one connection: what a request waits for that nobody is before.',
    contenders: ['bare', 'relay', 'handoff', 'process-relay', 'process-handoff'],
    loads: [hello(1)],
    columns: COLUMNS,
    mostRounds: 3,
  }),
  close: loadCase({
    about: 'A connection for each request: what taking a connection costs each lane.',
    contenders: ['bare', 'relay', 'handoff'],
    loads: [hello(32, { connection: 'close' })],
    columns: COLUMNS,
  }),
  upload: loadCase({
    about: 'POST to a handler that counts the bytes.',
    contenders: ['bare', 'relay', 'handoff'],
    loads: [up(1, 8), up(10, 1)],
    columns: ['megabytes', 'cpu', 'memory', 'coldMemory'],
    mostRounds: 3,
  }),
  download: loadCase({
    about: 'A download, streamed.',
    contenders: ['bare', 'relay', 'handoff'],
    loads: [down(1, 8), down(100, 1)],
    columns: ['megabytes', 'cpu', 'memory', 'coldMemory'],
    mostRounds: 3,
  }),
  sse: loadCase({
    about: 'An event stream on each of 100 connections, 100 events a second each: what an event costs, and how late it comes.',
    contenders: ['bare', 'relay', 'handoff', 'process-relay', 'process-handoff'],
    loads: [{ title: '100 connections', connections: 100, path: '/events', client: 'sse' }],
    columns: COLUMNS,
    titles: { requests: 'events/s', cpu: 'CPU µs/event' },
  }),
  websocket: loadCase({
    about: 'A message and its echo on each of 32 WebSockets, again and again.',
    contenders: ['bare', 'relay', 'handoff', 'process-relay', 'process-handoff'],
    loads: [{ title: '32 connections', connections: 32, path: '/', client: 'websocket' }],
    columns: COLUMNS,
    titles: { requests: 'messages/s', cpu: 'CPU µs/message' },
    env: { BENCH_APP: 'sockets-app.mjs' },
  }),
  tls: loadCase({
    about: 'TLS 1.3 with a certificate of P-256 for each tenant: handshakes, and requests on connections that are kept.',
    contenders: ['bare-tls', 'relay-tls', 'handoff-tls'],
    loads: [
      // Both tenants first: each is warm when one is measured alone.
      secure('A full handshake for each request, 2 tenants', 'new', TWO),
      secure('A full handshake for each request, 1 tenant', 'new', ONE),
      secure('A resumed session for each request, 1 tenant', 'resumed', ONE),
      secure('Kept connections, 2 tenants', 'kept', TWO),
      secure('Kept connections, 1 tenant', 'kept', ONE),
    ],
    columns: ['requests', 'cpu', 'front', 'p50', 'p99'],
    // There are five loads, of three kinds.
    mostRounds: 3,
  }),
  peers: loadCase({
    about: 'Hello world behind what others use for many applications in one server.',
    contenders: [
      'bare', 'handoff', 'relay', 'watt', 'watt-entry', 'thread-interceptor', 'piscina', 'http-proxy', 'undici-proxy', 'workerd',
      'workerd-router', 'mod-wsgi-embedded', 'mod-wsgi-daemon',
    ],
    loads: [hello(32)],
    columns: COLUMNS,
    // They are apart by factors, and there are many of them.
    mostRounds: 3,
  }),
}
