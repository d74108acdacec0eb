/** Milliseconds between two requests of the simulated stream. */
const STEP = 50

/** A seeded generator (mulberry32): the same stream on every machine. */
function seeded(seed) {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Regular hosts by Zipf's law; a `scan` share of the requests comes from hosts that are
 * never seen again, `burst` requests each on average.
 */
export function* hostStream({ hosts, alpha, scan, burst, requests, seed }) {
  const random = seeded(seed)
  const cumulative = new Float64Array(hosts)
  let sum = 0
  for (let rank = 0; rank < hosts; rank++) cumulative[rank] = sum += 1 / (rank + 1) ** alpha
  let oneOff = 0
  for (let index = 0; index < requests; index++) {
    if (random() < scan) {
      if (random() < 1 / burst) oneOff++
      yield { host: `once-${oneOff}.example.test`, regular: false }
    } else {
      yield { host: `host-${rankOf(cumulative, random() * sum)}.example.test`, regular: true }
    }
  }
}

/** The share of regular requests that found their host there, the first tenth not counted. */
export function hitRatio(stream, cache, size) {
  let now = 0
  let asked = 0
  let hits = 0
  const warmUp = 6000
  for (const { host, regular } of stream) {
    now += STEP
    const hit = cache.use(host, now) !== undefined
    if (!hit) {
      if (cache.size >= size) cache.delete(cache.victim(() => true).host)
      cache.add(host, { host }, now)
    }
    if (!regular || now <= warmUp * STEP) continue
    asked++
    if (hit) hits++
  }
  return hits / asked
}

function rankOf(cumulative, wanted) {
  let low = 0
  let high = cumulative.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (cumulative[middle] < wanted) low = middle + 1
    else high = middle
  }
  return low
}
