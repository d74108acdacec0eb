// What is measured. A ratio is always contender / bare, round by round within one run.

const MEGABYTE = 1024 * 1024
const UPLOAD = 10 * MEGABYTE
const DOWNLOAD = 100 * MEGABYTE

export const cases = {
  relay: {
    about: 'Hello world, keep-alive: what the way into another thread costs.',
    contenders: ['bare', 'relay'],
    path: '/',
    connections: 32,
    check: ({ status, text }) => status === 200 && text === 'Hello, World!',
    columns: ['requests', 'cpu', 'p50', 'p99'],
    targets: [{ figure: 'requests', atLeast: 0.65 }, { figure: 'cpu', atMost: 1.6 }],
  },
  daemon: {
    about: 'The same in a daemon, as the command runs it: what a process of its own costs on top.',
    contenders: ['bare', 'relay', 'daemon'],
    path: '/',
    connections: 32,
    check: ({ status, text }) => status === 200 && text === 'Hello, World!',
    columns: ['requests', 'cpu', 'p50', 'p99'],
    targets: [],
  },
  upload: {
    about: 'POST of 10 MB to a handler that counts the bytes.',
    contenders: ['bare', 'relay'],
    path: '/upload',
    connections: 1,
    method: 'POST',
    bodyBytes: UPLOAD,
    megabytes: ({ requests }) => (requests * UPLOAD) / MEGABYTE,
    check: ({ status, text }) => status === 200 && text === String(UPLOAD),
    columns: ['megabytes', 'cpu', 'memory', 'coldMemory'],
    targets: [{ figure: 'megabytes', atLeast: 0.5 }, { figure: 'memory', growthBelow: 32 }],
  },
  download: {
    about: 'A download of 100 MB, streamed.',
    contenders: ['bare', 'relay'],
    path: '/download',
    connections: 1,
    megabytes: ({ bytes }) => bytes / MEGABYTE,
    check: ({ status, bytes }) => status === 200 && bytes === DOWNLOAD,
    columns: ['megabytes', 'cpu', 'memory', 'coldMemory'],
    targets: [{ figure: 'megabytes', atLeast: 0.5 }, { figure: 'memory', growthBelow: 32 }],
  },
}

/** Each figure: its title in tables, its digits, and its value from one round. */
export const figures = {
  requests: { title: 'requests/s', digits: 0, of: ({ load }) => load.requests / load.seconds },
  megabytes: { title: 'MB/s', digits: 0, of: ({ load, megabytes }) => megabytes(load) / load.seconds },
  cpu: {
    title: 'CPU µs/request',
    digits: 1,
    of: ({ load, cpu }) => (cpu === undefined ? undefined : (cpu * 1e6) / load.requests),
  },
  p50: { title: 'p50 ms', digits: 2, of: ({ load }) => load.p50 },
  p99: { title: 'p99 ms', digits: 2, of: ({ load }) => load.p99 },
  // Against the warm server, since that is what transfers go on adding. A cold bare server takes some 40 MB for its
  // first transfers as well, before its first collections: that is shown beside it, for every contender.
  memory: {
    title: 'growth MB',
    digits: 1,
    bytes: true,
    of: ({ peak, warm }) => (peak === undefined ? undefined : (peak - warm) / MEGABYTE),
  },
  coldMemory: {
    title: 'from cold MB',
    digits: 1,
    bytes: true,
    of: ({ peak, cold }) => (peak === undefined ? undefined : (peak - cold) / MEGABYTE),
  },
}
