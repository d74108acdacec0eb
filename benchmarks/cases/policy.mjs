// No server: how often a request finds its group's context there. Our policy beside plain LRU, on a Zipf stream of regular
// hosts with a scan of one-off hosts mixed in.
import { LRUCache } from 'lru-cache'
import { Segments } from '../../dist/group/policy.js'
import { hostStream, hitRatio } from '../policy-stream.mjs'

const SIZES = [8, 32, 128]
const SCANS = [
  { scan: 0, burst: 1 },
  { scan: 0.1, burst: 1 },
  { scan: 0.3, burst: 1 },
  { scan: 0.6, burst: 1 },
  { scan: 0.3, burst: 8 },
  { scan: 0.6, burst: 8 },
]
const REQUESTS = 60_000
const HOSTS_PER_PLACE = 8
const ALPHA = 0.9
const SEED = 20_240_607

const COLUMNS = [
  { key: 'ours', title: 'Tenantry, %', digits: 1 },
  { key: 'lru', title: 'plain LRU, %', digits: 1 },
  { key: 'difference', title: 'difference', digits: 1 },
]

export const policy = {
  about: 'Hit ratio of the eviction policy beside plain LRU.',
  run({ progress }) {
    const rows = SIZES.flatMap((size) => SCANS.map((scan) => {
      progress()
      return simulate(size, scan)
    }))
    const of = ['places', 'hosts', 'share of one-off hosts', 'requests each']
    return {
      how: `Hit ratio of the regular hosts; ${REQUESTS.toLocaleString('en')} requests, Zipf ${ALPHA}, seed ${SEED}; no one-off hosts: the pure Zipf stream.`,
      tables: [{ of, columns: COLUMNS, rows }],
    }
  },
}

function simulate(size, { scan, burst }) {
  const stream = { hosts: size * HOSTS_PER_PLACE, alpha: ALPHA, scan, burst, requests: REQUESTS, seed: SEED }
  const ours = 100 * hitRatio(hostStream(stream), new Segments({ capacity: size, seed: 1 }), size)
  const lru = 100 * hitRatio(hostStream(stream), plainLru(size), size)
  return { names: [size, stream.hosts, `${scan * 100} %`, burst].map(String), values: { ours, lru, difference: ours - lru } }
}

/** Plain LRU in the same clothes. */
function plainLru(size) {
  const cache = new LRUCache({ max: size + 1 })
  return {
    get size() {
      return cache.size
    },
    use: (key) => cache.get(key),
    victim: () => cache.peek(cache.rkeys().next().value),
    delete: (key) => cache.delete(key),
    add: (key, value) => cache.set(key, value),
  }
}
