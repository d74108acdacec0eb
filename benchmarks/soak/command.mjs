// `tenantry serve` as a process of its own, and what its log and the kernel say about it.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { processTree, treeFigures } from '../process-tree.mjs'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const START = 30_000
const END = 60_000

/** Ends are kept for as long as a request may need one for its explanation. */
const MEMORY = 120_000

/** Contexts that end for these are replaced in peace: nobody may notice. */
const PEACEFUL = new Set(['lru', 'pressure', 'inactivity', 'requests', 'age', 'reload', 'admin', 'shutdown'])

export class Command {
  #child
  #waiting = []
  #ends = []
  #ready = new Set()
  /** Daemons that we killed and that the log has not missed yet. */
  #killed = 0
  /** Contexts that became ready, and how those ended: whoever was told to go and goes by itself counts as 'exit'. */
  born = 0
  gone = {}
  /** Why groups were told to end. */
  evicted = {}
  /** Contexts that ended before they could serve. */
  stillborn = 0
  /** Threads that did not end in time, by the log. */
  leftBehind = 0
  /** How many connections took which lane: said at its end. */
  lanes
  /** Hosts whose last reload failed: the old version goes on. */
  behind = new Set()
  /** Lines on stderr after the start report, and in the log above what is expected: nothing may stand here. */
  complaints = []
  ended

  constructor(folder, flags) {
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TENANTRY_')))
    const args = [MAIN, 'serve', folder, '--port', '0', ...flags]
    this.#child = spawn(process.execPath, args, { env: own, stdio: ['ignore', 'pipe', 'pipe'] })
    this.ended = new Promise((resolve) => { this.#child.once('close', (code, signal) => resolve({ code, signal })) })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#onLine(line))
    createInterface({ input: this.#child.stderr }).on('line', (line) => this.#onComplaint(line))
  }

  get pid() {
    return this.#child.pid
  }

  get alive() {
    return this.#ready.size
  }

  /** Resolves with the URL once it listens. */
  async listening() {
    const { url } = await this.line(({ msg }) => msg === 'listening', START)
    return url
  }

  /** The next line of the log that fits; rejects when the process ends first, or after `milliseconds`. */
  line(fits, milliseconds) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the log did not say it within ${milliseconds} ms`)), milliseconds)
      const settle = (settled) => (value) => {
        clearTimeout(late)
        settled(value)
      }
      this.#waiting.push({ fits, resolve: settle(resolve) })
      void this.ended.then(({ code, signal }) => settle(reject)(new Error(`the server ended with ${signal ?? code}`)))
    })
  }

  /** Reads tenants again; resolves when every changed group was replaced. */
  async reload() {
    const read = this.line(({ msg }) => msg === 'tenants read again' || msg?.startsWith('reading again failed'), START)
    this.#child.kill('SIGHUP')
    await read
  }

  /** Every end of a context of that host between the two moments, in Date's milliseconds. */
  endsOf(host, from, to) {
    return this.#ends.filter((end) => end.host === host && end.time >= from && end.time <= to)
  }

  figures() {
    return { ...treeFigures(this.pid), alive: this.alive }
  }

  /** Kills the processes that run tenants, as the system does when memory is short. Says how many there were. */
  killDaemons() {
    const daemons = processTree(this.pid).slice(1)
    for (const pid of daemons) process.kill(pid, 'SIGKILL')
    this.#killed += daemons.length
    return daemons.length
  }

  /** As a service manager ends it; resolves with how it ended. */
  async stop() {
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END)
    const ended = await this.ended
    clearTimeout(late)
    return ended
  }

  /** At once, whatever it does; for when we fail ourselves. */
  kill() {
    this.#child.kill('SIGKILL')
  }

  #onLine(text) {
    let line
    try {
      line = JSON.parse(text)
    } catch {
      this.#onComplaint(text)
      return
    }
    if (line.msg === 'context ready') {
      this.born += 1
      this.#ready.add(line.contextId)
    } else if (line.msg?.startsWith('context ended')) {
      this.#onEnd(line, Date.parse(line.time))
    } else if (line.msg === 'closed' && line.lanes !== undefined) {
      this.lanes = line.lanes
    } else if (line.msg === 'group evicted') {
      this.evicted[line.reason] = (this.evicted[line.reason] ?? 0) + 1
    } else if (line.msg?.startsWith('The reload failed')) {
      this.behind.add(hostOf(line.label))
    } else if (line.msg === 'daemon exited' && line.signal === 'SIGKILL' && this.#killed > 0) {
      this.#killed -= 1
    } else if (line.msg?.includes('as a zombie')) {
      this.leftBehind += 1
    } else if (line.level >= 50 ? line.stream === undefined : line.pid !== undefined) {
      // Ours, or what a daemon itself wrote.
      this.#onComplaint(text)
    }
    this.#waiting = this.#waiting.filter(({ fits, resolve }) => {
      if (!fits(line)) return true
      resolve(line)
      return false
    })
  }

  #onEnd({ label, contextId, reason, exitCode }, time) {
    if (this.#ready.delete(contextId)) this.gone[reason] = (this.gone[reason] ?? 0) + 1
    else this.stillborn += 1
    const violent = !PEACEFUL.has(reason) && !(reason === 'exit' && exitCode === 0)
    this.#ends.push({ host: hostOf(label), contextId, reason, exitCode, time, violent })
    const old = this.#ends.findIndex((end) => end.time > time - MEMORY)
    if (old > 0) this.#ends.splice(0, old)
  }

  #onComplaint(text) {
    // The start report ends before the server listens; nobody reads a thousand complaints.
    if (this.complaints.length < 100 && /error|warn|reject|leak|deprecat/i.test(text)) this.complaints.push(text.slice(0, 500))
  }
}

/** A label of %{HOST} carries the port. */
function hostOf(label) {
  return label.split(':')[0]
}
