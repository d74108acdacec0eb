// What Tenantry wants to reach, each with its bound, in this one place. A run says kept or missed; no run fails for it.
// Ratios are medians over rounds, within one run, to bare node:http; of several tables the worst counts. Of peers that are
// there in two ways, Watt is the one that routes by host, and workerd the faster one, which does not.

/** A row's ratios of one figure in every table of a result, or in those whose title fits. */
function ratios(row, figure, title = /(?:)/) {
  return ({ tables }) => tables.filter((table) => title.test(table.title ?? '')).map((table) =>
    table.rows.find(({ names }) => names[0] === row)?.ratios?.[figure]?.median)
}

/** How many times as many requests a row answers as each of the peers does that are there: the least of them. */
function times(row, ...peers) {
  return ({ tables }) => tables.flatMap(({ rows }) => {
    const requests = (name) => rows.find(({ names }) => names[0] === name)?.values?.requests?.median
    return peers.map((peer) => requests(row) === undefined || requests(peer) === undefined ? undefined : requests(row) / requests(peer))
  })
}

/** A figure that a case works out itself. */
function figure(name) {
  return ({ figures }) => [figures?.[name]]
}

export const goals = [
  { case: 'handoff', what: 'hand-off, requests/s against bare', values: ratios('handoff', 'requests'), atLeast: 0.97 },
  { case: 'handoff', what: 'hand-off, CPU a request against bare', values: ratios('handoff', 'cpu'), atMost: 1.03 },
  { case: 'handoff', what: 'hand-off, p99 against bare', values: ratios('handoff', 'p99'), atMost: 1.1 },
  { case: 'relay', what: 'relay, CPU a request against bare', values: ratios('relay', 'cpu'), atMost: 1.35 },
  { case: 'latency', what: 'relay, one connection, p50 against bare', values: ratios('relay', 'p50'), atMost: 2.5 },
  { case: 'process', what: 'relay into a daemon, CPU a request against bare', values: ratios('process-relay', 'cpu'), atMost: 1.8 },
  { case: 'upload', what: 'relay, 1 MB up, MB/s against bare', values: ratios('relay', 'megabytes', /^1 MB/), atLeast: 0.8 },
  { case: 'download', what: 'relay, 1 MB down, MB/s against bare', values: ratios('relay', 'megabytes', /^1 MB/), atLeast: 0.8 },
  { case: 'upload', what: 'relay, 10 MB up, growth in MB', values: growth('relay'), atMost: 32, digits: 1 },
  { case: 'download', what: 'relay, 100 MB down, growth in MB', values: growth('relay'), atMost: 32, digits: 1 },
  { case: 'peers', what: 'hand-off, requests/s against Watt', values: times('handoff', 'watt'), atLeast: 10 },
  { case: 'peers', what: 'hand-off, requests/s against workerd', values: times('handoff', 'workerd'), atLeast: 3 },
  { case: 'peers', what: 'hand-off, requests/s against mod_wsgi, daemon', values: times('handoff', 'mod-wsgi-daemon'), atLeast: 5 },
  { case: 'peers', what: 'hand-off, requests/s against undici-thread-interceptor', values: times('handoff', 'thread-interceptor'), atLeast: 4 },
  { case: 'cold-start', what: 'first request with a spare, hello world, ms more than the second', values: figure('spareOverWarm'), atMost: 5, digits: 1 },
  { case: 'cold-start', what: 'first request without spares, hello world, against a bare worker', values: figure('coldOverWorker'), atMost: 1.3 },
  { case: 'density', what: 'idle context, MB more than a bare idle worker', values: figure('overWorker'), atMost: 0.5 },
  { case: 'lookup', what: 'a host among 1,000,000 against among 10', values: figure('growth'), atMost: 1.5 },
  { case: 'churn', what: 'highest memory of the second half of 20,000 contexts against the first', values: figure('growth'), atMost: 1.1 },
  { case: 'churn', what: 'descriptors, threads and zombies more than in the first half', values: figure('left'), atMost: 0, digits: 0 },
  { case: 'descriptors', what: 'descriptors more than before 100,000 connections, with contexts that die', values: figure('left'), atMost: 0, digits: 0 },
  { case: 'descriptors', what: 'descriptors closed that were somebody else\'s, and answers from another host', values: figure('confused'), atMost: 0, digits: 0 },
]

/** What is said of a goal: the worst of what a result has on it; nothing where there is no result. */
export function judge({ what, values, atLeast, atMost, digits = 2 }, result) {
  const found = result === undefined ? [] : values(result).filter((value) => value !== undefined && value !== null)
  const bound = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`
  if (found.length === 0) return { what, bound, digits }
  const worst = atLeast === undefined ? Math.max(...found) : Math.min(...found)
  return { what, bound, digits, found: worst, kept: atLeast === undefined ? worst <= atMost : worst >= atLeast }
}

/** Memory is held against the most that was seen, where transfers are large. */
function growth(row) {
  return ({ tables }) => tables.filter(({ title }) => !title.startsWith('1 MB')).map((table) =>
    table.rows.find(({ names }) => names[0] === row)?.values?.memory?.max)
}
