// What became of every request, in memory that does not grow with their number.

/** Latencies in buckets a tenth apart: 1.1^n microseconds. */
export class Latencies {
  #buckets = new Map()
  #count = 0

  add(milliseconds) {
    const bucket = Math.ceil(Math.log(Math.max(1, milliseconds * 1000)) / Math.log(1.1))
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1)
    this.#count += 1
  }

  /** Milliseconds; undefined before anything was added. */
  percentile(share) {
    let left = this.#count * share
    for (const [bucket, count] of [...this.#buckets].sort(([a], [b]) => a - b)) {
      left -= count
      if (left <= 0) return Number((1.1 ** bucket / 1000).toFixed(2))
    }
    return undefined
  }
}

/** Requests that are shown one by one; the rest are only counted. */
const MOST_SHOWN = 200

export class Count {
  sent = 0
  answered = 0
  /** The client left on its own. */
  left = 0
  /** Refused by Tenantry with 503, 504 and the like, by code. */
  refused = {}
  /** The context died under the request: by the reason of its end. */
  died = {}
  /** Its connection broke off before a byte of an answer, and it was asked again: by the reason of the context's end. */
  retried = {}
  /** As those, and no client may ask again: not idempotent, on a connection that was kept, as its context went in peace. */
  raced = {}
  /** 421 to a host of ours: asked again on a connection of its own (RFC 9110 section 15.5.20). */
  misdirected = 0
  /** Nothing explains what became of it. There must be none. */
  lost = 0
  /** Answered by code that had been replaced before the request was sent. There must be none. */
  stale = 0
  /** On purpose: requests that make their context fail. */
  faults = {}
  examples = { died: [], retried: [], raced: [], lost: [], stale: [] }
  latencies = new Latencies()

  refuse(code) {
    this.refused[code] = (this.refused[code] ?? 0) + 1
  }

  die(reason, example) {
    this.died[reason] = (this.died[reason] ?? 0) + 1
    this.#show('died', example)
  }

  retry(reason, example) {
    this.retried[reason] = (this.retried[reason] ?? 0) + 1
    this.#show('retried', example)
  }

  race(reason, example) {
    this.raced[reason] = (this.raced[reason] ?? 0) + 1
    this.#show('raced', example)
  }

  lose(example) {
    this.lost += 1
    this.#show('lost', example)
  }

  age(example) {
    this.stale += 1
    this.#show('stale', example)
  }

  provoke(fault) {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1
  }

  #show(kind, example) {
    if (this.examples[kind].length < MOST_SHOWN) this.examples[kind].push(example)
  }
}
