// How often a request finds its group's context there: our policy beside plain LRU, on a Zipf stream of
// regular hosts with a scan of one-off hosts mixed in. Run after `npm run build`:
//
//     node benchmarks/policy.mjs [--json]
import { LRUCache } from 'lru-cache'
import { Segments } from '../dist/group/policy.js'
import { hostStream, hitRatio } from './policy-stream.mjs'

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

const rows = []
for (const size of SIZES) {
  for (const { scan, burst } of SCANS) {
    const stream = { hosts: size * HOSTS_PER_PLACE, alpha: ALPHA, scan, burst, requests: REQUESTS, seed: SEED }
    const ours = hitRatio(hostStream(stream), new Segments({ capacity: size, seed: 1 }), size)
    const lru = hitRatio(hostStream(stream), plainLru(size), size)
    rows.push({ size, hosts: stream.hosts, scan, burst, ours, lru })
  }
}

if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ requests: REQUESTS, alpha: ALPHA, seed: SEED, rows }, null, 2))
} else {
  console.log(`Hit ratio of the regular hosts; ${REQUESTS} requests, Zipf ${ALPHA}; scan 0 is the pure Zipf stream.\n`)
  console.log('| places | hosts | share of one-off hosts | requests each | Tenantry | plain LRU | difference |')
  console.log('|---:|---:|---:|---:|---:|---:|---:|')
  for (const { size, hosts, scan, burst, ours, lru } of rows) {
    const cells = [size, hosts, `${scan * 100}%`, burst, percent(ours), percent(lru), percent(ours - lru)]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

function percent(ratio) {
  return `${(ratio * 100).toFixed(1)}%`
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
