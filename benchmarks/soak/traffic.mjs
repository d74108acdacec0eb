// Clients that ask, each on its own, and the judgement on what they got.
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { LARGE, PIECE, PIECES } from './apps/work.mjs'
import { Client, digest } from './ask.mjs'
import { createPick, createZipf } from './random.mjs'

/** How steep: with 1.3, the first of 300 hosts gets three of ten requests, the last two hundred one of fourteen. */
const EXPONENT = 1.3
const THINK = 80
/** Between two requests that make a context fail. */
const FAULT_EVERY = 1500
/** After these a context may be told to go for another reason before its fault is noticed; it cannot finish then, and is cut. */
const STUCK = new Set(['spin', 'hoard'])
const STUCK_FOR = 15_000

/** A context's end may be logged a moment before its client hears of it, and up to terminateTimeout after that. */
const BEFORE = 250
const AFTER = 3000
/** A context that goes in peace closes its connections first, and has the command's --drain-timeout to end; and some to be logged. */
const DRAINED = 9000

/** Refusals that an honest client may meet at any time; anything else has to be explained. */
const HONEST = new Set([
  'ERR_GROUP_LIMIT', 'ERR_START_RATE', 'ERR_QUEUE_FULL', 'ERR_DRAINING', 'ERR_START_TIMEOUT', 'ERR_QUEUE_TIMEOUT', 'ERR_HANDLER_TIMEOUT',
])
/** What a tenant that does not load answers with. */
const UNLOADABLE = new Set(['ERR_START_FAILED', 'ERR_GROUP_BACKOFF'])
/** The longest back-off: a context that died before its first answer is the reason of every refusal within it. */
const BACK_OFF = 60_000

const BODY = [Buffer.alloc(48 * 1024, 'a'), Buffer.alloc(96 * 1024, 'b'), Buffer.alloc(7, 'c')]
const DIGEST = digest(BODY)

const FAULTS = [['exit', 8], ['throw', 6], ['reject', 3], ['hoard', 3], ['hang', 2], ['spin', 1]]

export class Traffic {
  #client
  /** Each request on a connection of its own. */
  #fresh
  #agents = new Map()
  #lane
  #command
  #tenants
  #count
  #random
  #pickHost
  #running = []
  /** When a host's context was last made to stand still. */
  #stuckAt = new Map()
  #stopped = false

  constructor({ url, clients, command, tenants, count, random, lane }) {
    this.#client = new Client(url, (host) => this.#agentOf(host))
    this.#fresh = new Client(url, () => false)
    this.#lane = lane
    this.#command = command
    this.#tenants = tenants
    this.#count = count
    this.#random = random
    this.#pickHost = createZipf(tenants.hosts, EXPONENT, random)
    const pick = createPick([
      [(host) => this.#hello(host), 70], [(host) => this.#stream(host), 7], [(host) => this.#upload(host), 7],
      [(host) => this.#large(host), 4], [(host) => this.#slowReader(host), 2], [(host) => this.#talk(host), 5],
      [(host) => this.#leaveAnswer(host), 3], [(host) => this.#leaveUpload(host), 2],
    ], random)
    for (let index = 0; index < clients; index += 1) this.#running.push(this.#loop(() => pick()(this.#pickHost()), THINK))
    const pickFault = createPick(FAULTS, random)
    this.#running.push(this.#loop(() => this.#provoke(pickFault()), 2 * FAULT_EVERY))
  }

  /** Every request is over and explained, and every connection closed, when it resolves. */
  async stop() {
    this.#stopped = true
    await Promise.all(this.#running)
    for (const agent of this.#agents.values()) agent.destroy()
  }

  /** Connections are kept for a host and used for no other one, as by browsers and HTTP clients. */
  #agentOf(host) {
    let agent = this.#agents.get(host)
    if (agent === undefined) this.#agents.set(host, agent = new Agent({ keepAlive: true }))
    return agent
  }

  async #loop(turn, pause) {
    while (!this.#stopped) {
      await turn()
      await sleep(this.#random() * pause)
    }
  }

  #hello(host) {
    const { broken } = this.#tenants
    const behind = this.#command.behind.has(host) || broken.has(host)
    const version = behind || this.#tenants.changing.has(host) ? 0 : this.#tenants.version(host)
    return this.#visit('hello', host, (client) => client.ask(host, '/'), (outcome) => {
      if (outcome.text !== host) return `it said ${outcome.text.slice(0, 100)}`
      if (Number(outcome.version) < version) this.#count.age({ host, version, got: outcome.version, at: new Date().toISOString() })
      return undefined
    }, { timed: true })
  }

  #stream(host) {
    return this.#visit('stream', host, (client) => client.ask(host, '/stream'), has(PIECE * PIECES))
  }

  #upload(host) {
    const says = ({ text }) => text === DIGEST ? undefined : `it read something else: ${text.slice(0, 100)}`
    return this.#visit('upload', host, (client) => client.ask(host, '/upload', { pieces: BODY }), says, { idempotent: false })
  }

  #large(host) {
    return this.#visit('large', host, (client) => client.ask(host, '/large'), has(LARGE))
  }

  #slowReader(host) {
    return this.#visit('slow reader', host, (client) => client.ask(host, '/large', { pause: 1500 }), has(LARGE))
  }

  #talk(host) {
    if (this.#tenants.kind(host) !== 'sockets') return this.#hello(host)
    return this.#visit('websocket', host, (client) => client.talk(host), ({ bytes }) => bytes === 3 ? undefined : 'it said too little')
  }

  #leaveAnswer(host) {
    return this.#visit('leaver', host, (client) => client.ask(host, '/stream', { leaveAfter: PIECE }), has(PIECE * PIECES))
  }

  #leaveUpload(host) {
    return this.#visit('upload left', host, (client) => client.ask(host, '/upload', { pieces: BODY, leaveAfter: 100 * 1024 }), () => 'it went on',
      { idempotent: false })
  }

  /** Makes a context fail. What becomes of this very request is no promise. */
  async #provoke(fault) {
    const host = this.#pickHost()
    this.#count.provoke(fault)
    if (STUCK.has(fault)) this.#stuckAt.set(host, Date.now())
    await this.#client.ask(host, `/fault/${fault}`)
  }

  /** `check` says what is wrong with a complete answer. */
  async #visit(what, host, run, check, { timed = false, idempotent = true } = {}) {
    const count = this.#count
    const excused = this.#tenants.broken.has(host) || this.#tenants.changing.has(host)
    const from = Date.now()
    const since = performance.now()
    count.sent += 1
    let outcome = await run(this.#client)
    if (outcome.status === 421) {
      count.misdirected += 1
      outcome = await run(this.#fresh)
    }
    const asked = { what, host, from, since, excused, check, timed }
    if (this.#lane === 'relay' || outcome.fault === undefined || !outcome.silent || outcome.left) {
      await this.#judge(asked, outcome)
    } else if (idempotent) {
      const first = this.#explainBreak(asked, outcome, (reason, example) => count.retry(reason, example))
      await Promise.all([first, this.#judge(asked, await run(this.#fresh))])
    } else {
      await this.#explainBreak(asked, outcome, (reason, example, violent) => violent ? count.die(reason, example) : count.race(reason, example))
    }
  }

  async #judge({ what, host, from, since, excused, check, timed }, outcome) {
    const count = this.#count
    const { status, code, fault, left } = outcome
    if (left) {
      count.left += 1
      return
    }
    if (fault === undefined && (status === 200 || status === 101)) {
      const wrong = check(outcome)
      if (wrong === undefined) {
        count.answered += 1
        if (timed) count.latencies.add(performance.now() - since)
        return
      }
      count.lose({ what, host, status, fault: wrong, at: new Date(from).toISOString() })
      return
    }
    if (fault === undefined && HONEST.has(code)) {
      count.refuse(code)
      return
    }
    const mayBeBroken = excused || this.#tenants.broken.has(host) || this.#tenants.changing.has(host)
    if (fault === undefined && UNLOADABLE.has(code) && mayBeBroken) {
      count.refuse(code)
      return
    }
    if (fault === undefined && code === 'ERR_GROUP_BACKOFF' && this.#deathOf(host, from - BACK_OFF, Date.now()) !== undefined) {
      count.refuse(code)
      return
    }
    await this.#explain({ what, host, status, code, fault, at: new Date(from).toISOString() }, from)
  }

  /**
   * A connection that was handed over breaks off when its context dies; one that is kept, and closes as its context goes in
   * peace, may meet a request on its way. For no other reason.
   */
  async #explainBreak({ what, host, from }, { fault, reused }, explained) {
    const to = Date.now()
    const example = { what, host, fault, reused, at: new Date(from).toISOString() }
    const death = () => this.#deathOf(host, from - BEFORE, to + AFTER)
    const find = () => death() ?? (reused ? this.#command.endsOf(host, from - BEFORE, to + DRAINED)[0] : undefined)
    const end = await this.#endOf(find, to + (reused ? DRAINED : AFTER))
    if (end === undefined) return this.#count.lose({ ...example, milliseconds: to - from })
    const { contextId, reason } = end
    explained(reason, { ...example, contextId, reason }, end === death())
  }

  /** What `find` finds until then: the log says so a moment later. */
  async #endOf(find, until) {
    for (;;) {
      const found = find()
      if (found !== undefined || Date.now() > until) return found
      await sleep(100)
    }
  }

  /** Which context died under it? */
  async #explain(example, from) {
    const to = Date.now()
    const death = await this.#endOf(() => this.#deathOf(example.host, from - BEFORE, to + AFTER), to + AFTER)
    if (death !== undefined) {
      const { contextId, reason } = death
      this.#count.die(reason, { ...example, contextId, reason })
      return
    }
    const ends = this.#command.endsOf(example.host, from - BEFORE, to + AFTER)
    this.#count.lose({ ...example, milliseconds: to - from, ends, stuckAt: this.#stuckAt.get(example.host) })
  }

  #deathOf(host, from, to) {
    const stuck = (this.#stuckAt.get(host) ?? 0) > from - STUCK_FOR
    return this.#command.endsOf(host, from, to).find(({ violent, exitCode }) => violent || (stuck && exitCode !== 0))
  }
}

function has(size) {
  return ({ bytes }) => bytes === size ? undefined : `${bytes} bytes instead of ${size}`
}
