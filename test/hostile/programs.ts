/**
 * What a tenant may do to the house. `lost`: a thread cannot be kept from it, so the process dies or its
 * neighbours are hit; allowed only where docs/security.md says why. `zombie`: the thread never ends, and is left behind.
 * `felt`: the process goes on, but neighbours may fail for less than a second.
 */
export type Outcome = 'contained' | 'contained, felt' | 'contained, zombie' | 'process lost'

export interface Program {
  /** As the table in docs/security.md calls it. */
  readonly name: string
  /** What a request for /go runs, with `res` and Node's modules by name. */
  readonly run: string
  /** What loading the entry runs; then there is no handler. */
  readonly load?: string
  readonly outcome: Outcome
  /** What the bad tenant's own client gets: one of them, between 'or'. */
  readonly client: string
  /** The same where it runs in a daemon, if it differs. There every outcome is 'contained'. */
  readonly inDaemon?: string
  /** What it gets where its connection was handed over and its context goes on; else it gets no answer in place of 502. */
  readonly handedOver?: string
}

const DEADLOCK = '502 `ERR_CONTEXT_DEADLOCK`'
const EXITED = '502 `ERR_CONTEXT_EXITED`'
/** Which of the two sees it first is a race. */
const TOO_MUCH = `${DEADLOCK} or 502 \`ERR_CONTEXT_MEMORY\``
export const GONE = 'no answer'
const DAEMON = '502 `ERR_DAEMON_EXITED`'

/** The handler answers with the class of the error that it meets. */
function caught(attack: string): string {
  return `try { ${attack}; res.end('done') } catch (error) { res.end(error.name) }`
}

const spin = (name: string, run: string = name): Program => ({ name, run, outcome: 'contained', client: DEADLOCK })
const leak = (name: string, run: string = name): Program => ({ name, run, outcome: 'contained', client: TOO_MUCH })
const exits = (name: string, run: string = name): Program => ({ name, run, outcome: 'contained', client: EXITED })
const refused = (name: string, run: string, error: string): Program =>
  ({ name, run: caught(run), outcome: 'contained', client: `200 ${error}` })

export const PROGRAMS: readonly Program[] = [
  spin('while (true) {}'),
  spin('microtask loop', 'const again = () => Promise.resolve().then(again); again()'),
  spin('nextTick loop', 'const again = () => process.nextTick(again); again()'),
  spin("/^(a+)+$/.test('a'.repeat(40) + '!')"),
  spin('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'),
  spin("process.on('exit', () => { while (1); }); process.exit()"),
  spin('throw { get message() { while (true); } }'),
  exits('throw null'),
  exits('Promise.reject()'),
  exits("process.kill(process.pid, 'SIGKILL')"),
  exits('process.exit() in a request handler', 'process.exit()'),
  refused("process.binding('fs').open()", "process.binding('fs').open()", 'Error'),
  refused("v8.setFlagsFromString('--allow-natives-syntax')", "v8.setFlagsFromString('--allow-natives-syntax')", 'Error'),
  refused('inspector to the main thread', 'new inspector.Session().connectToMainThread()', 'TypeError'),
  refused('process.report', 'process.report.getReport()', 'TypeError'),
  refused("for (;;) parentPort.postMessage('x'.repeat(1e3))", "for (;;) worker.parentPort.postMessage('x'.repeat(1e3))", 'TypeError'),
  refused('a huge object graph in one message',
    'worker.parentPort.postMessage(Array.from({ length: 1e6 }, (_, i) => ({ i })))', 'TypeError'),
  refused('a message with own `__proto__`', 'worker.parentPort.postMessage(JSON.parse(\'{"__proto__":{"a":1}}\'))', 'TypeError'),
  refused("new BroadcastChannel('bus')", "new BroadcastChannel('bus')", 'ReferenceError'),
  refused('/proc/self/environ', "fs.readFileSync('/proc/self/environ')", 'done'),
  refused('/proc/self/mem', "fs.closeSync(fs.openSync('/proc/self/mem', 'r'))", 'done'),
  {
    name: 'await new Promise(() => {}) at top level with a timer', run: '', outcome: 'contained',
    load: 'setInterval(() => {}, 1000); await new Promise(() => {})', client: '504 `ERR_START_TIMEOUT`',
  },
  { name: 'crash at every start', run: '', load: "throw new Error('on purpose')", outcome: 'contained', client: '500 `ERR_START_FAILED`' },
  spin('endless stdout', "for (;;) console.log('x'.repeat(100))"),
  {
    name: 'endless response body to a client that does not read', outcome: 'contained', client: '200, cut off',
    run: 'setInterval(() => res.write(Buffer.alloc(2 ** 20, 1)), 1)',
  },
  {
    // On a connection of its own node:http sends it, and the client's parser refuses it.
    name: 'a response head of 10 MB', outcome: 'contained', client: '502 `ERR_PROTOCOL`', handedOver: GONE,
    run: "res.setHeader('x', 'a'.repeat(1e7)); res.end()",
  },
  { name: 'a promise that never settles in a handler', outcome: 'contained', client: '504 `ERR_HANDLER_TIMEOUT`', run: 'return new Promise(() => {})' },
  leak('const m = new Map(); for (let i = 0; ; i++) m.set(i, i)'),
  leak('const a = []; for (;;) a.push(1)'),
  {
    // A dictionary of 1e8 entries: one built-in that takes a minute and 8 GB, and cannot be interrupted.
    name: 'new Array(1e8).fill(0)', outcome: 'contained, zombie', client: TOO_MUCH,
    run: 'globalThis.a = new Array(1e8).fill(0)',
  },
  leak("JSON.parse('[' + '1,'.repeat(3e7) + '1]')", "globalThis.a = JSON.parse('[' + '1,'.repeat(3e7) + '1]')"),
  leak('globalThis.b = Buffer.alloc(2 ** 31, 1)'),
  {
    // Refused the next one, it throws and ends; a machine that starts them slowly finds it silent before that.
    name: "for (;;) new Worker('setInterval(() => {}, 1e9)', { eval: true })", outcome: 'contained', client: `${EXITED} or ${DEADLOCK}`,
    run: "for (;;) new worker.Worker('setInterval(() => {}, 1e9)', { eval: true })",
  },
  {
    name: "execSync('sleep 1e6')", outcome: 'contained, zombie', client: DEADLOCK,
    run: "childProcess.execSync('sleep 1e6')",
  },
  {
    name: 'detached `spawn`', outcome: 'contained', client: '200 done',
    run: caught("childProcess.spawn('sleep', ['3'], { detached: true, stdio: 'ignore' }).unref()"),
  },
  { name: "for (;;) fs.openSync('/dev/null')", outcome: 'contained, felt', client: EXITED, run: "for (;;) fs.openSync('/dev/null')" },
  {
    name: 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)', outcome: 'contained, zombie', client: DEADLOCK,
    run: 'Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)',
  },
  { name: '[].sort.call({ length: 2 ** 53 - 1 })', outcome: 'process lost', client: GONE, inDaemon: DAEMON, run: '[].sort.call({ length: 2 ** 53 - 1 })' },
  { name: 'fs.closeSync(3..63)', outcome: 'process lost', client: GONE, inDaemon: DAEMON, run: 'for (let n = 3; n < 64; n++) try { fs.closeSync(n) } catch {}' },
  {
    name: 'fs.writeSync(<socket fd>)', outcome: 'process lost', client: GONE, inDaemon: `502 \`ERR_PROTOCOL\` or ${DAEMON}`,
    run: "setInterval(() => { for (const fd of sockets()) try { fs.writeSync(fd, 'x') } catch {} }, 5)",
  },
  {
    name: 'net.createServer().listen({ fd })', outcome: 'process lost', client: GONE, inDaemon: DAEMON,
    run: "for (const fd of sockets()) net.createServer((socket) => socket.end('stolen')).on('error', () => {}).listen({ fd })",
  },
  {
    name: 'four FIFO opens', outcome: 'process lost', client: '504 `ERR_HANDLER_TIMEOUT`',
    run: "const pipe = process.cwd() + '/pipe-' + process.pid; childProcess.execFileSync('mkfifo', [pipe]); for (let n = 0; n < 4; n++) fs.open(pipe, 'r', () => {})",
  },
]

/** The tenant's module. */
export function moduleOf({ run, load }: Program): string {
  if (load !== undefined) return load
  return `
    import fs from 'node:fs'
    import net from 'node:net'
    import v8 from 'node:v8'
    import inspector from 'node:inspector'
    import worker from 'node:worker_threads'
    import childProcess from 'node:child_process'
    const sockets = () => fs.readdirSync('/proc/self/fd').filter((fd) => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:') } catch { return false }
    }).map(Number)
    export default (req, res) => { if (req.url !== '/go') res.end('fine'); else { ${run} } }
  `
}
